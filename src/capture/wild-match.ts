// The wildcards of rsync's patterns over text in which one character is one byte. Invariant: it says what
// rsync 3 says for every pattern and text, malformed classes included; the recursion ends early when no
// further text can match. Spec: rsync(1) "PATTERN MATCHING RULES"; compared with rsync itself in tests.

/** `no`: not here; `stop`: nowhere further on; `starstar`: only if an earlier `**` takes more. */
type Outcome = 'yes' | 'no' | 'stop' | 'starstar'

const STAR = 0x2a
const SLASH = 0x2f
const BACKSLASH = 0x5c
const OPEN = 0x5b
const CLOSE = 0x5d
const HYPHEN = 0x2d
const COLON = 0x3a
const QUESTION = 0x3f
const CARET = 0x5e
const EXCLAMATION = 0x21

/** True when the whole of `text` from `start` on matches. */
export function matchesWild(pattern: string, text: string, start = 0): boolean {
  return match(pattern, 0, text, start) === 'yes'
}

/** As `matchesWild`, tried at the beginning and after every slash. */
export function matchesWildAnywhere(pattern: string, text: string): boolean {
  let outcome = match(pattern, 0, text, 0)
  if (outcome === 'yes' || outcome === 'stop') return outcome === 'yes'
  for (let slash = text.indexOf('/'); slash !== -1; slash = text.indexOf('/', slash + 1)) {
    outcome = match(pattern, 0, text, slash + 1)
    if (outcome === 'yes' || outcome === 'stop') return outcome === 'yes'
  }
  return false
}

function match(pattern: string, from: number, text: string, start: number): Outcome {
  let at = start
  for (let p = from; p < pattern.length; p++, at++) {
    let wanted = pattern.charCodeAt(p)
    if (at >= text.length && wanted !== STAR) return 'stop'
    const found = text.charCodeAt(at)
    switch (wanted) {
      case STAR:
        return matchStar(pattern, p, text, at)
      case QUESTION:
        if (found === SLASH) return 'no'
        break
      case OPEN: {
        const end = matchClass(pattern, p, found)
        if (typeof end === 'string') return end
        p = end
        break
      }
      default:
        if (wanted === BACKSLASH) wanted = pattern.charCodeAt(++p) // NaN at the end: never equal
        if (found !== wanted) return 'no'
    }
  }
  return at >= text.length ? 'yes' : 'no'
}

function matchStar(pattern: string, star: number, text: string, start: number): Outcome {
  let p = star + 1
  const isDouble = pattern.charCodeAt(p) === STAR
  while (pattern.charCodeAt(p) === STAR) p++
  if (p === pattern.length) return isDouble || !text.includes('/', start) ? 'yes' : 'no'
  for (let at = start; at < text.length; at++) {
    const outcome = match(pattern, p, text, at)
    if (outcome !== 'no') {
      if (!isDouble || outcome !== 'starstar') return outcome
    } else if (!isDouble && text.charCodeAt(at) === SLASH) {
      return 'starstar'
    }
  }
  return 'stop'
}

/** The position of the closing bracket when `found` is in the class, else why it does not match. */
function matchClass(pattern: string, open: number, found: number): number | Outcome {
  let p = open + 1
  let wanted = pattern.charCodeAt(p)
  const isNegated = wanted === EXCLAMATION || wanted === CARET
  if (isNegated) wanted = pattern.charCodeAt(++p)
  let previous = 0
  let isIn = false
  do {
    if (p >= pattern.length) return 'stop'
    const next = pattern.charCodeAt(p + 1)
    if (wanted === BACKSLASH) {
      wanted = pattern.charCodeAt(++p)
      if (p >= pattern.length) return 'stop'
      if (found === wanted) isIn = true
    } else if (wanted === HYPHEN && previous !== 0 && p + 1 < pattern.length && next !== CLOSE) {
      wanted = pattern.charCodeAt(++p)
      if (wanted === BACKSLASH) wanted = pattern.charCodeAt(++p)
      if (p >= pattern.length) return 'stop'
      if (found <= wanted && found >= previous) isIn = true
      wanted = 0 // the end of a range begins no other
    } else if (wanted === OPEN && next === COLON) {
      const end = pattern.indexOf(']', p + 2)
      if (end === -1) return 'stop'
      if (end - p < 3 || pattern.charCodeAt(end - 1) !== COLON) {
        if (found === OPEN) isIn = true // no ":]": an ordinary class
      } else {
        const named = NAMED[pattern.slice(p + 2, end - 1)]
        if (named === undefined) return 'stop'
        if (named.test(String.fromCharCode(found))) isIn = true
        p = end
        wanted = 0
      }
    } else if (found === wanted) {
      isIn = true
    }
    previous = wanted
    wanted = pattern.charCodeAt(++p)
  } while (wanted !== CLOSE)
  return isIn === isNegated || found === SLASH ? 'no' : p
}

const NAMED: Readonly<Partial<Record<string, RegExp>>> = {
  alnum: /[0-9A-Za-z]/,
  alpha: /[A-Za-z]/,
  blank: /[ \t]/,
  cntrl: /[\x00-\x1f\x7f]/,
  digit: /[0-9]/,
  graph: /[\x21-\x7e]/,
  lower: /[a-z]/,
  print: /[\x20-\x7e]/,
  punct: /[!-/:-@[-`{-~]/,
  space: /[ \t-\r]/,
  upper: /[A-Z]/,
  xdigit: /[0-9A-Fa-f]/,
}
