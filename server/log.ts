/** The service's logger: readable on a terminal, JSON lines elsewhere, where Kea's `loggers` say. */
import pino from 'pino'
import type { Logger as Pino, Level } from 'pino'
import pretty from 'pino-pretty'
import type { LoggerConfig, LoggerOutput } from './config/model.ts'
import { LogFile } from './log-file.ts'

/** Kea's severities in pino's words. */
const LEVELS: Readonly<Record<LoggerConfig['severity'], Level | 'silent'>> = {
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  ERROR: 'error',
  FATAL: 'fatal',
  NONE: 'silent',
}

const ORDER: ReadonlyArray<Level> = ['trace', 'debug', 'info', 'warn', 'error', 'fatal']

/** A logger, and what must be called before the process ends so that nothing is lost. */
export interface ServiceLog {
  readonly log: Pino
  readonly flush: () => void
}

/**
 * Opens the outputs of the configuration; without any, standard output. Of several loggers the most talkative severity
 * counts, since the service has one log. `fields` stand on each line.
 */
export const openLog = (
  loggers: readonly LoggerConfig[],
  terminal: boolean,
  fields: Readonly<Record<string, string>> = {},
): ServiceLog => {
  const outputs = outputsOf(loggers)
  const level = levelOf(loggers)
  const streams = [...outputs].map((output) => openOutput(output, terminal))
  const destinations = streams.map((stream) => ({ stream, level: level === 'silent' ? ('fatal' as const) : level }))
  const log = pino({ level, base: fields, timestamp: pino.stdTimeFunctions.isoTime }, pino.multistream(destinations))
  return { log, flush: () => streams.forEach((stream) => stream.flushSync?.()) }
}

/** Each output once, as the first logger that names it has it. */
const outputsOf = (loggers: readonly LoggerConfig[]): ReadonlyArray<LoggerOutput> => {
  const outputs = new Map<string, LoggerOutput>()
  for (const output of loggers.flatMap((logger) => logger.outputs)) {
    if (!outputs.has(output.output)) outputs.set(output.output, output)
  }
  return outputs.size === 0 ? [STDOUT] : [...outputs.values()]
}

const STDOUT: LoggerOutput = { output: 'stdout', flush: true, sizeMax: 0, versionsMax: 1, pattern: undefined }

const levelOf = (loggers: readonly LoggerConfig[]): Level | 'silent' => {
  const levels = loggers.map((logger) => LEVELS[logger.severity])
  if (levels.length === 0) return 'info'
  return ORDER.find((level) => levels.includes(level)) ?? 'silent'
}

interface Output {
  write(line: string): void
  flushSync?: () => void
}

/**
 * `stdout`, `stderr`, or a file, which is appended to; one that cannot be opened ends the process with a sentence.
 * `syslog` goes to standard error, for the service manager to pass on.
 */
const openOutput = (options: LoggerOutput, terminal: boolean): Output => {
  const { output } = options
  const toFile = output !== 'stdout' && output !== 'stderr' && !output.startsWith('syslog')
  if (toFile) return openFile(options)
  const fd = output === 'stdout' ? 1 : 2
  if (!terminal) return pino.destination({ dest: fd, sync: true })
  return pretty({
    destination: fd,
    sync: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
    singleLine: true,
  })
}

const openFile = (options: LoggerOutput): Output => {
  try {
    return new LogFile(options)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    process.stderr.write(`lease-ledger: the log file ${options.output} cannot be opened: ${code}\n`)
    process.exit(1)
  }
}
