/** Real DHCPv6 clients on the server's link, over multicast. */
import { makeLinkNetwork } from '../support/namespaces.ts'
import { describeClients6 } from './dhcp6-scenario.ts'

await describeClients6({
  name: 'on the link',
  needs: [],
  net: '2001:db8',
  interface: 'lan0',
  open: makeLinkNetwork,
})
