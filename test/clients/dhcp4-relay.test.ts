/** Real DHCPv4 clients behind ISC's relay agent, which adds option 82. */
import { makeRelayNetwork, startRelay4 } from '../support/namespaces.ts'
import { describeClients4 } from './dhcp4-scenario.ts'

describeClients4({
  name: 'behind a relay',
  needs: ['dhcrelay'],
  net: '198.18.1',
  open: async (lab, clientCount) => {
    const network = await makeRelayNetwork(lab, clientCount)
    await startRelay4(network)
    return network
  },
})
