/** Where an S3 store is, and how objects are put there: what `ORIEL_BLOBS` says, parsed. Credentials are the SDK's business, except for clients. */

/** How the store is to encrypt what it is given, beside its own default. */
export type S3Encryption =
  | { readonly kind: 'none' }
  | { readonly kind: 'AES256' }
  | { readonly kind: 'aws:kms'; readonly keyId: string | undefined }

/** Originals unseen for so many days are kept in a colder class of storage, one that can be read at once. */
export interface S3ColdRule {
  /** The store's name for it, such as `STANDARD_IA`. */
  readonly storageClass: string
  readonly unseenDays: number
}

/** Credentials of their own for what is signed for clients: allowed to put, not to read. */
export interface PartsKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface S3Location {
  readonly bucket: string
  /** Origin of the store's URL; undefined means AWS. */
  readonly endpoint: string | undefined
  /** Origin under which clients reach the store, for the requests that are signed for them; undefined: as we do. */
  readonly publicEndpoint: string | undefined
  readonly region: string
  /** In front of every key: empty, or ending in `/`. */
  readonly prefix: string
  readonly encryption: S3Encryption
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`. */
  readonly forcePathStyle: boolean
  /** Days since the last use after which the store's lifecycle rule removes a variant; 2 or more. */
  readonly variantDays: number
  readonly cold: S3ColdRule | undefined
}
