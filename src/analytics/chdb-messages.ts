/** What the supervisor and the embedded engine's process say to each other over their IPC channel. */

export interface OpenOrder {
  readonly type: 'open'
  /** npm name of the engine's binding. */
  readonly binding: string
  /** Folder of the engine's data; opened by one process at a time. */
  readonly dir: string
  /** Folder for request bodies under way; emptied at start. */
  readonly incoming: string
  /** Basic-auth password of user `oriel`; random per process, so that no other local user can ask. */
  readonly password: string
}

export type ToHost = OpenOrder | { readonly type: 'ping' } | { readonly type: 'stop' }

export type HostFault =
  /** The binding is not installed here or does not load. */
  | 'unavailable'
  /** The engine did not open the folder; chDB says why on its standard error only. */
  | 'refused'

export type FromHost =
  | { readonly type: 'ready'; readonly port: number; readonly version: string }
  | { readonly type: 'failed'; readonly fault: HostFault; readonly message: string }
  | { readonly type: 'pong' }

export const HOST_USER = 'oriel'
