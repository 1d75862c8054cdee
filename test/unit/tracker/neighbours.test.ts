// Neighbour choice: shares, fairness, and what the graph of a whole cluster looks like.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chooseNeighbours } from '../../../src/tracker/tracker.ts'
import { createRandom } from '../../sim/seeded-random.ts'

interface Node {
  readonly id: number
  readonly rack: string | undefined
  readonly isComplete: boolean
}

const ASKER = { rack: 'r0', isComplete: false }

function nodes(count: number, racks: number): Node[] {
  return Array.from({ length: count }, (_, id) => ({
    ...{ id, rack: racks === 0 ? undefined : `r${id % racks}`, isComplete: false },
  }))
}

const farOf = (chosen: readonly Node[]) => chosen.filter(({ rack }) => rack !== ASKER.rack).length

test('chooseNeighbours() takes a third from outside the rack, the rest from inside', () => {
  const chosen = chooseNeighbours(nodes(1000, 10), ASKER, { count: 15, random: createRandom(1) })
  assert.equal(chosen.length, 15)
  assert.equal(farOf(chosen), 5)
})

test('chooseNeighbours() takes two from outside even into a short answer', () => {
  const pick = (count: number) =>
    farOf(chooseNeighbours(nodes(100, 4), ASKER, { count, random: createRandom(1) }))
  assert.deepEqual([1, 2, 3, 4, 6, 7].map(pick), [1, 2, 2, 2, 2, 3])
})

test('chooseNeighbours() fills up from where there are more', () => {
  const random = createRandom(1)
  const lonely = [...nodes(50, 1), { id: 50, rack: 'r1', isComplete: false }]
  assert.equal(farOf(chooseNeighbours(lonely, ASKER, { count: 12, random })), 1)
  const small = nodes(50, 25)
  assert.equal(farOf(chooseNeighbours(small, ASKER, { count: 12, random })), 10)
  assert.equal(chooseNeighbours(nodes(50, 1), ASKER, { count: 12, random }).length, 12)
})

test('chooseNeighbours() gives all of a small swarm', () => {
  const all = nodes(9, 3)
  const chosen = chooseNeighbours(all, ASKER, { count: 12, random: createRandom(1) })
  assert.deepEqual(
    chosen.toSorted((a, b) => a.id - b.id),
    all,
  )
})

test('chooseNeighbours() does not tell complete peers about each other', () => {
  const mixed = nodes(40, 2).map((node) => ({ ...node, isComplete: node.id < 38 }))
  const random = createRandom(1)
  const chosen = chooseNeighbours(mixed, { rack: 'r0', isComplete: true }, { count: 12, random })
  assert.deepEqual(
    chosen.map(({ id }) => id).toSorted((a, b) => a - b),
    [38, 39],
  )
})

test('chooseNeighbours() does not take peers without a rack for one rack', () => {
  const noRack = nodes(100, 0)
  const random = createRandom(1)
  const asker = { rack: undefined, isComplete: false }
  const mixed = [...noRack, ...nodes(300, 3)]
  const counts = Array.from({ length: 500 }, () =>
    chooseNeighbours(mixed, asker, { count: 12, random }).filter(({ rack }) => rack === undefined),
  )
  // One in four has no rack: three of twelve, give or take.
  assert.ok(Math.abs(counts.flat().length / 500 - 3) < 0.3)
})

test('chooseNeighbours() gives every candidate of a group the same chance', () => {
  const all = nodes(40, 2)
  const random = createRandom(7)
  const chosenTimes = new Uint32Array(40)
  const firstTimes = new Uint32Array(40)
  for (let round = 0; round < 4000; round++) {
    const chosen = chooseNeighbours(all, ASKER, { count: 6, random })
    for (const { id } of chosen) chosenTimes[id] = (chosenTimes[id] ?? 0) + 1
    const first = chosen[0]?.id ?? 0
    firstTimes[first] = (firstTimes[first] ?? 0) + 1
  }
  for (const { id } of all) {
    const expected = ((id % 2 === 0 ? 4 : 2) * 4000) / 20
    assert.ok(Math.abs((chosenTimes[id] ?? 0) - expected) < 0.25 * expected, `node ${id}`)
    assert.ok(Math.abs((firstTimes[id] ?? 0) - expected / 6) < 0.7 * (expected / 6), `first ${id}`)
  }
})

test('chooseNeighbours() keeps its promises whatever the swarm', () => {
  const rack = fc.option(fc.constantFrom('r0', 'r1', 'r2'), { nil: undefined })
  const candidate = fc.record({ rack, isComplete: fc.boolean() })
  fc.assert(
    fc.property(
      ...[fc.array(candidate, { maxLength: 60 }), candidate, fc.nat(20), fc.integer()],
      (candidates, asker, count, seed) => {
        const options = { count, random: createRandom(seed) }
        const chosen = chooseNeighbours(candidates, asker, options)
        const eligible = candidates.filter((one) => !(asker.isComplete && one.isComplete))
        assert.equal(new Set(chosen).size, chosen.length)
        assert.ok(chosen.every((one) => eligible.includes(one)))
        assert.equal(chosen.length, Math.min(count, eligible.length))
        const isFar = (one: { rack: string | undefined }) =>
          asker.rack === undefined || one.rack !== asker.rack
        const promised = Math.min(count, Math.max(2, Math.ceil(count / 3)))
        assert.ok(chosen.filter(isFar).length >= Math.min(promised, eligible.filter(isFar).length))
      },
    ),
  )
})

/** Nodes come one after another and connect to some of those before them, both ways. */
function growGraph(all: readonly Node[], count: number): Set<number>[] {
  const random = createRandom(3)
  const links = all.map(() => new Set<number>())
  for (const node of all) {
    for (const other of chooseNeighbours(all.slice(0, node.id), node, { count, random })) {
      links[node.id]?.add(other.id)
      links[other.id]?.add(node.id)
    }
  }
  return links
}

/** Steps from one node to each that it reaches. */
function distances(links: readonly ReadonlySet<number>[], from: number): Map<number, number> {
  const steps = new Map([[from, 0]])
  for (const [node, step] of steps) {
    for (const next of links[node] ?? []) if (!steps.has(next)) steps.set(next, step + 1)
  }
  return steps
}

test('chooseNeighbours() makes one graph of few steps, by rack or without', () => {
  for (const racks of [0, 1, 2, 25, 1000]) {
    const links = growGraph(nodes(1000, racks), 12)
    const steps = distances(links, 999)
    assert.equal(steps.size, 1000, `${racks} racks`)
    assert.ok(Math.max(...steps.values()) <= 5, `${racks} racks`)
  }
})

test('chooseNeighbours() leaves no rack without links to others when half of the nodes die', () => {
  const links = growGraph(nodes(1000, 25), 12)
  const isDead = (id: number) => id % 50 < 25
  const alive = links.map((others, id) =>
    isDead(id) ? new Set<number>() : new Set([...others].filter((other) => !isDead(other))),
  )
  assert.equal(distances(alive, 999).size, 500)
})
