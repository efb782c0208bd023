/** The process of a crowd: it does what its parent asks for over the channel between them. */
import { Crowd } from './crowd.ts'
import type { CrowdOrder, CrowdReport } from './crowd-orders.ts'

let crowd: Crowd | undefined

const obey = async (order: CrowdOrder): Promise<unknown> => {
  if (order.do === 'open') {
    crowd = await Crowd.open(order.place)
    return undefined
  }
  if (crowd === undefined) throw new Error('the crowd is not there yet')
  switch (order.do) {
    case 'steady':
      return crowd.steady(order.rates, order.link, order.staggerMs)
    case 'settle':
      return crowd.settle()
    case 'take':
      return crowd.take()
    case 'claim':
      return crowd.claimTogether(order.count, order.together, order.link, order.manner)
    case 'each':
      return crowd.each(order.task, order.from, order.countMax, order.manner)
    case 'disband':
      return crowd.disband()
    case 'forget':
      return crowd.forget()
    case 'close':
      return crowd.close().then(() => process.disconnect())
  }
}

process.on('message', ({ id, order }: { readonly id: number; readonly order: CrowdOrder }) => {
  const report = (answer: CrowdReport): void => void process.send?.(answer)
  obey(order).then(
    (result) => report({ id, result }),
    (error: unknown) => report({ id, error: error instanceof Error ? error.message : String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
