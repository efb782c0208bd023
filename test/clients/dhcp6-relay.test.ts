/** Real DHCPv6 clients behind ISC's relay agent, which adds the interface-id option. */
import { makeRelayNetwork, startRelay6 } from '../support/namespaces.ts'
import { describeClients6 } from './dhcp6-scenario.ts'

await describeClients6({
  name: 'behind a relay',
  needs: ['dhcrelay'],
  net: '2001:db8:1',
  open: async (lab, clientCount) => {
    const network = await makeRelayNetwork(lab, clientCount)
    await startRelay6(network)
    return network
  },
})
