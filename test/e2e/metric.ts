/** What origins count, read as Prometheus reads it. */

/** @param name without the `oriel_` in front. NaN where it is not told. */
export const metric = async ({ url }: { readonly url: string }, name: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(new RegExp(`^oriel_${name} (\\d+)$`, 'm').exec(text)?.[1])
}

export const sumOf = async (origins: readonly { readonly url: string }[], name: string): Promise<number> =>
  (await Promise.all(origins.map((origin) => metric(origin, name)))).reduce((sum, value) => sum + value, 0)
