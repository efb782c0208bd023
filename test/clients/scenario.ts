/** What the scenarios of DHCPv4 and DHCPv6 clients have in common: a network with a server, and actors in step. */
import { startCapture } from '../support/capture.ts'
import type { Capture } from '../support/capture.ts'
import { keaMissing } from '../support/kea.ts'
import { Lab, labMissing } from '../support/namespaces.ts'
import type { Namespace, Network } from '../support/namespaces.ts'
import { makeServerUnderTest, serverKind } from '../support/server-under-test.ts'
import type { ServerUnderTest } from '../support/server-under-test.ts'

/** Where a scenario takes place. */
export interface Place {
  readonly name: string
  /** Programs needed beside the clients. */
  readonly needs: readonly string[]
  /** Makes the network, with its relay running where there is one. */
  readonly open: (lab: Lab, clientCount: number) => Promise<Network>
}

/** Why a scenario cannot be played at a place, or undefined when it can. */
export const sceneMissing = ({ needs }: Place): string | undefined =>
  labMissing(...needs) ?? (serverKind() === 'kea' ? keaMissing() : undefined)

/** A client with what is seen on its link. */
export interface Actor<Client, Lease> {
  readonly client: Client
  readonly capture: Capture
  held: Lease
}

/** A client's place: its namespace in a lab and its interface. */
export interface Seat {
  readonly lab: Lab
  readonly namespace: Namespace
  readonly device: string
}

/** A running server, and the clients before they have begun. */
export interface Scene<Client, Lease> {
  readonly lab: Lab
  readonly server: ServerUnderTest
  readonly actors: readonly Actor<Client, Lease>[]
  /** One step for every client at once; a failure names the client and shows what server and client printed. */
  readonly all: (act: (actor: Actor<Client, Lease>) => Promise<void>) => Promise<void>
}

/** Makes the network of a place, starts the server there, and makes a client for each of `parts`. */
export const openScene = async <Part, Client extends { readonly output: () => string }, Lease>(
  place: Place,
  config: object,
  parts: readonly Part[],
  make: (part: Part, seat: Seat) => Promise<Client>,
  nameOf: (client: Client) => string,
): Promise<Scene<Client, Lease>> => {
  const lab = await Lab.open()
  try {
    const network = await place.open(lab, parts.length)
    const server = makeServerUnderTest({ folder: await lab.folder('server'), start: network.server.start })
    lab.defer('stop the server', () => server.stop())
    await server.start(config)
    const actors = await Promise.all(
      parts.map(async (part, index) => {
        const namespace = network.clients[index] as Namespace
        const capture = await startCapture(lab, namespace, network.clientDevice)
        const client = await make(part, { lab, namespace, device: network.clientDevice })
        return { client, capture, held: {} as Lease }
      }),
    )
    const step = async (actor: Actor<Client, Lease>, act: (actor: Actor<Client, Lease>) => Promise<void>) => {
      try {
        await act(actor)
      } catch (error) {
        const said = `${actor.client.output()}\n--- the server:\n${server.logs().split('\n').slice(-40).join('\n')}`
        throw new Error(`${nameOf(actor.client)}: ${String(error)}\n${said}`, { cause: error })
      }
    }
    const all: Scene<Client, Lease>['all'] = async (act) => {
      await Promise.all(actors.map((actor) => step(actor, act)))
    }
    return { lab, server, actors, all }
  } catch (error) {
    await lab.close()
    throw error
  }
}
