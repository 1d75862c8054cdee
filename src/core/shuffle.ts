// Random order, where no one must be first by habit.

/** Fisher and Yates, in place; returns the same array. `random` is uniform in [0, 1). */
export function shuffle<T>(items: T[], random: () => number): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    const moved = items[last] as T
    items[last] = items[other] as T
    items[other] = moved
  }
  return items
}
