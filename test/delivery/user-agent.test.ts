/** Evidence from real `User-Agent`s, at the versions where browsers learnt a format and the one before. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readUserAgent } from '../../src/delivery/user-agent.ts'

const BLINK = 'AppleWebKit/537.36 (KHTML, like Gecko)'
const windows = (rest: string) => `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${BLINK} ${rest}`
const android = (rest: string) => `Mozilla/5.0 (Linux; Android 10; K) ${BLINK} ${rest}`
const iphone = (os: string, rest = 'Version/17.0 Mobile/15E148 Safari/604.1') =>
  `Mozilla/5.0 (iPhone; CPU iPhone OS ${os} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) ${rest}`
const mac = (version: string, os = '10_15_7') =>
  `Mozilla/5.0 (Macintosh; Intel Mac OS X ${os}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/${version} Safari/605.1.15`
const firefox = (version: number) =>
  `Mozilla/5.0 (X11; Linux x86_64; rv:${version}.0) Gecko/20100101 Firefox/${version}.0`
const oldAndroid = (os: string, tail = '') =>
  `Mozilla/5.0 (Linux; U; Android ${os}; en-us; X Build/J) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30${tail}`

describe('the User-Agent', () => {
  it.for([
    [windows('Chrome/16.0.912.63 Safari/535.7'), false, 'none'],
    [windows('Chrome/17.0.963.56 Safari/535.11'), false, 'lossy'],
    [windows('Chrome/23.0.1271.64 Safari/537.11'), false, 'still'],
    [windows('Chrome/32.0.1700.76 Safari/537.36'), false, 'animated'],
    [windows('Chrome/84.0.4147.89 Safari/537.36'), false, 'animated'],
    [windows('Chrome/85.0.4183.83 Safari/537.36'), true, 'animated'],
    [windows('Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0'), true, 'animated'],
    [windows('Chrome/120.0.0.0 Safari/537.36 Edg/120.0.0.0'), false, 'animated'],
    [windows('Chrome/64.0.3282.140 Safari/537.36 Edge/17.17134'), false, 'none'],
    [windows('Chrome/64.0.3282.140 Safari/537.36 Edge/18.17763'), false, 'animated'],
    [android('Chrome/100.0.4896.88 Mobile Safari/537.36 EdgA/100.0.1185.43'), false, 'animated'],
    [android('Chrome/85.0.0.0 Mobile Safari/537.36 OPR/60.1.2254.54378'), true, 'animated'],
    [windows('Chrome/84.0.4147.89 Safari/537.36 OPR/70.0.3728.95'), false, 'animated'],
    [android('SamsungBrowser/13.0 Chrome/83.0.4103.106 Mobile Safari/537.36'), false, 'animated'],
    [android('SamsungBrowser/14.0 Chrome/87.0.4280.141 Mobile Safari/537.36'), true, 'animated'],
    [
      android('Version/4.0 Chrome/124.0.6367.108 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/462.0.0.47.85;]'),
      true,
      'animated',
    ],
    [android('Version/4.0 Chrome/100.0.4896.58 UCBrowser/13.4.2 Mobile Safari/537.36'), false, 'animated'],
    [`Mozilla/5.0 (Web0S; Linux/SmartTV) ${BLINK} Chrome/87.0.4280.88 Safari/537.36 WebAppManager`, false, 'animated'],
    [`Mozilla/5.0 (Linux; Android 9; CUBOT_P20) ${BLINK} Chrome/91.0.4472.77 Mobile Safari/537.36`, true, 'animated'],
    [
      'Mozilla/5.0 (X11; Linux) AppleWebKit/538.1 (KHTML, like Gecko) Chrome/18.0.1025.133 Safari/538.1 Midori/0.5',
      false,
      'none',
    ],
    [firefox(64), false, 'none'],
    [firefox(65), false, 'animated'],
    [firefox(92), false, 'animated'],
    [firefox(93), true, 'animated'],
    ['Mozilla/5.0 (Android 13; Mobile; rv:109.0) Gecko/112.0 Firefox/112.0', true, 'animated'],
    [iphone('13_7'), false, 'none'],
    [iphone('14_0'), false, 'animated'],
    [iphone('16_0'), false, 'animated'],
    [iphone('16_1'), true, 'animated'],
    [iphone('12_0', 'CriOS/154.0.0.0 Mobile/15E148 Safari/604.1'), false, 'none'],
    [iphone('18_7', 'FxiOS/156.0 Mobile/15E148 Safari/604.1'), true, 'animated'],
    [iphone('17_5', 'Mobile/21F90 [FBAN/FBIOS;FBAV/466.0]'), true, 'animated'],
    [mac('13.1.2'), false, 'none'],
    [mac('14.1'), false, 'none'],
    [mac('14.0', '11_0'), false, 'animated'],
    [mac('15.6'), false, 'none'],
    [mac('16.0'), false, 'animated'],
    [mac('16.3'), false, 'animated'],
    [mac('16.4'), true, 'animated'],
    [mac('26.0'), true, 'animated'],
    [oldAndroid('2.3.6'), false, 'none'],
    [oldAndroid('4.0.4'), false, 'lossy'],
    [oldAndroid('4.2.2'), false, 'still'],
    [oldAndroid('4.2.2', ' UCBrowser/9.0'), false, 'none'],
    ['Opera/9.80 (Windows NT 6.1) Presto/2.12.388 Version/12.16', false, 'still'],
    ['Opera/9.80 (J2ME/MIDP; Opera Mini/8.0/191; U; en) Presto/2.12.423 Version/12.16', false, 'none'],
    ['Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko', false, 'none'],
    [
      'Mozilla/5.0 (Mobile; Windows Phone 8.1; Android 4.0; ARM; Trident/7.0; IEMobile/11.0; NOKIA; Lumia 635) like iPhone OS 7_0_3 Mac OS X AppleWebKit/537 (KHTML, like Gecko) Mobile Safari/537',
      false,
      'none',
    ],
    ['Mozilla/5.0 (Windows NT 10.0; rv:102.0) Gecko/20100101 Goanna/6.0 Firefox/102.0 PaleMoon/32.0', false, 'none'],
    ['Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', false, 'none'],
    [android('Chrome/125.0.6422.175 Mobile Safari/537.36 (compatible; Googlebot/2.1)'), false, 'none'],
    ['curl/7.88.1', false, 'none'],
    ['Go-http-client/1.1', false, 'none'],
    ['Dalvik/2.1.0 (Linux; U; Android 13)', false, 'none'],
    ['', false, 'none'],
  ] as const)('%s', ([header, avif, webp]) => {
    expect(readUserAgent(header)).toMatchObject({ avif, webp })
  })

  it.for([
    [iphone('17_2'), 'phone'],
    ['Mozilla/5.0 (iPad; CPU OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21F90', 'tablet'],
    [android('Chrome/142.0.0.0 Mobile Safari/537.36'), 'phone'],
    [android('Chrome/142.0.0.0 Safari/537.36'), 'tablet'],
    [windows('Chrome/142.0.0.0 Safari/537.36'), 'desktop'],
    [mac('17.5'), 'desktop'],
    [firefox(120), 'desktop'],
    [
      'Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/111.0 Safari/537.36 VIDAA/9.0(Siera;SmartTV)',
      'tv',
    ],
    ['Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)', 'bot'],
    ['curl/7.88.1', 'bot'],
    ['', 'other'],
  ] as const)('%s is a %s', ([header, device]) => {
    expect(readUserAgent(header).device).toBe(device)
  })

  it('judges any text, and a missing header', () => {
    expect(readUserAgent(undefined)).toEqual({ avif: false, webp: 'none', device: 'other' })
    const devices = ['phone', 'tablet', 'desktop', 'tv', 'bot', 'other']
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(devices).toContain(readUserAgent(text).device)
      }),
    )
  })
})
