/** Real DHCPv4 clients on the server's link: broadcast, raw unicast to clients without an address, ARP. */
import { makeLinkNetwork } from '../support/namespaces.ts'
import { describeClients4 } from './dhcp4-scenario.ts'

describeClients4({ name: 'on the link', needs: [], net: '198.18.0', open: makeLinkNetwork })
