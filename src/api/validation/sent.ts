/** An object as a client may have sent it: decoding settles the types of what is there, not that it is there. */
export type Sent<T> = T extends (infer E)[]
  ? readonly Sent<E>[]
  : T extends object
    ? { readonly [K in keyof T]?: Sent<T[K]> | undefined }
    : T;
