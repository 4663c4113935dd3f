/** The pages' modules are plain JavaScript that the compiler does not see, so tests load them by address and say what is in them. */
export const loadModule = async <T>(name: string): Promise<T> =>
  (await import(new URL(`../../src/ui/public/${name}`, import.meta.url).href)) as T
