// Opens a study in a viewer, takes a picture of its canvas, loads a series, takes another.
// look.js URL BEFORE.png AFTER.png SERIES-DESCRIPTION CHROMIUM; prints what went wrong as JSON.
const { chromium } = require('playwright-core');

const [, , url, before, after, series, program] = process.argv;
const LIMIT = 90000;

(async () => {
  const browser = await chromium.launch({
    executablePath: program,
    args: [
      '--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader',
      '--ignore-gpu-blocklist', '--disable-background-networking', '--disable-component-update',
      '--disable-sync', '--no-first-run',
    ],
  });
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  const said = [];
  page.on('console', m => m.type() === 'error' && said.push(m.text().slice(0, 300)));
  page.on('pageerror', e => said.push(String(e).slice(0, 300)));
  await page.goto(url, { timeout: LIMIT });
  // The tour of the viewer's tools covers everything, whenever it comes up.
  await page.addStyleTag({
    content: '.shepherd-element, .shepherd-modal-overlay-container { display: none !important }',
  });
  const canvas = page.locator('canvas').first();
  await canvas.waitFor({ timeout: LIMIT });
  await page.waitForLoadState('networkidle', { timeout: LIMIT });
  await settled(page, canvas);
  await canvas.screenshot({ path: before });
  await page.getByText(series, { exact: false }).first().dblclick({ timeout: 20000 })
    .catch(e => said.push('no such series: ' + String(e).slice(0, 100)));
  await page.getByText('Yes', { exact: true }).click({ timeout: 6000 }).catch(() => {});
  await page.waitForLoadState('networkidle', { timeout: LIMIT });
  await settled(page, canvas);
  await page.locator('canvas').first().screenshot({ path: after });
  await page.screenshot({ path: after.replace('.png', '-page.png') });
  console.log(JSON.stringify({ said, text: (await page.innerText('body')).slice(0, 2000) }));
  await browser.close();
})().catch(e => { console.error(e); process.exit(1); });

// Until two pictures of the canvas, a second apart, are the same and not all of one grey.
async function settled(page, canvas) {
  let last = null;
  for (const end = Date.now() + 45000; Date.now() < end;) {
    await page.waitForTimeout(1000);
    const now = await page.locator('canvas').first().screenshot().catch(() => null);
    if (now && last && now.equals(last) && now.length > 4000) return;
    last = now;
  }
}
