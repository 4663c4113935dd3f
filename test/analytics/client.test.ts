import { existsSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { clientPrefix, countryCode, hostOf, referrerAuthority } from '../../src/analytics/client-facts.ts'
import { parseAgent } from '../../src/analytics/user-agent.ts'

const DEVICES = new URL('../../../shared/corpus/devices.json', import.meta.url)
interface DeviceEntry {
  readonly id: string
  readonly device_type: string
  readonly ua: string
}

describe('what a User-Agent tells', () => {
  if (!existsSync(DEVICES)) console.log('left out: devices.json is not here, device classes are checked on a few only')
  const entries: readonly DeviceEntry[] = existsSync(DEVICES) ? JSON.parse(readFileSync(DEVICES, 'utf8')).entries : []
  it.for(entries.map((entry) => [entry.id, entry.device_type, entry.ua] as const))('%s is a %s', ([, type, ua]) => {
    // The corpus calls curl and its like `client`: nobody looks at those pictures, so they count as robots here.
    expect(parseAgent(ua).device).toBe(type === 'client' ? 'bot' : type)
  })

  it.for([
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1',
      'phone',
      'Mobile Safari',
      'iOS',
    ],
    [
      'Mozilla/5.0 (Linux; Android 15; SM-X910) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
      'tablet',
      'Chrome',
      'Android',
    ],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
      'desktop',
      'Chrome',
      'Windows',
    ],
    [
      'Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/2.2 Chrome/94.0 TV Safari/537.36',
      'tv',
      'Samsung Internet',
      'Tizen',
    ],
    ['Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', 'bot', undefined, undefined],
    ['Googlebot-Image/1.0', 'bot', undefined, undefined],
    ['', 'other', '', ''],
    ['x'.repeat(100_000), 'other', undefined, undefined],
  ] as const)('%.60s is a %s', ([ua, device, browser, os]) => {
    const facts = parseAgent(ua)
    expect(facts.device).toBe(device)
    if (browser !== undefined) expect(facts).toEqual({ device, browser, os })
  })

  it('never throws and stays bounded, whatever the header', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 2000, unit: 'binary' }), (text) => {
        const { browser, os } = parseAgent(text)
        expect(browser.length + os.length).toBeLessThanOrEqual(80)
      }),
    )
  })
})

describe('where a request came from', () => {
  it.for([
    ['203.0.113.77', '203.0.113.0/24'],
    ['::ffff:203.0.113.77', '203.0.113.0/24'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1::/48'],
    ['2001:DB8::9', '2001:db8:0::/48'],
    ['::1', '0:0:0::/48'],
    ['fe80::1%eth0', 'fe80:0:0::/48'],
    ['64:ff9b::192.0.2.33', '64:ff9b:0::/48'],
    ['999.1.1.1', ''],
    ["203.0.113.77', (SELECT 1)", ''],
    ['', ''],
  ] as const)('address %s is kept as %s', ([address, kept]) => expect(clientPrefix(address)).toBe(kept))

  it('keeps at most three bytes of an IPv4 and six of an IPv6 address', () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        expect(clientPrefix(address)).toBe(`${address.split('.').slice(0, 3).join('.')}.0/24`)
      }),
    )
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        expect(clientPrefix(address)).toMatch(/^([0-9a-f]{1,4}:){3}:\/48$|^\d+\.\d+\.\d+\.0\/24$/)
      }),
    )
  })

  it.for([
    ['https://Shop.Example.com/p/1?user=me#top', 'shop.example.com'],
    ['https://user:secret@shop.example.com:8443/x', 'shop.example.com'],
    ['https://shop.example.com', 'shop.example.com'],
    ['https://shop.example.com?q=1', 'shop.example.com'],
    ['https://bücher.example/', 'xn--bcher-kva.example'],
    ['android-app://com.google.android.gm/', 'com.google.android.gm'],
    ['http://[2001:db8::1]:80/', '[2001:db8::1]'],
    ['about:blank', ''],
    ['https://a\tb\nc/', 'abc'],
    [`https://${'a'.repeat(20_000)}/`, ''],
    ['', ''],
  ] as const)('referrer %.50s is kept as %s', ([referrer, host]) =>
    expect(hostOf(referrerAuthority(referrer))).toBe(host),
  )

  it.for([
    ['de', 'DE'],
    ['T1', 'T1'],
    ['Germany', ''],
    ["'", ''],
    ['\t\n', ''],
    ['', ''],
  ] as const)('country %s is kept as %s', ([country, kept]) => expect(countryCode(country)).toBe(kept))
})
