// The door of core: words every other folder uses. Imports nothing of ours.
export * from './bytes.ts'
export * from './clock.ts'
export * from './errors.ts'
export * from './listen-error.ts'
export * from './progress.ts'
export * from './rack.ts'
export * from './shuffle.ts'
export * from './units.ts'
