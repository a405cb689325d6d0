// Opens a study in a viewer, takes a picture of its canvas, loads a series, takes another.
// look.js URL BEFORE.png AFTER.png SERIES-DESCRIPTION CHROMIUM; prints what it met as JSON.
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
  await settled(page);
  await canvas.screenshot({ path: before, timeout: LIMIT });
  const unloaded = await canvas.screenshot({ timeout: LIMIT });
  await page.getByText(series, { exact: false }).first().dblclick({ timeout: 20000 })
    .catch(e => said.push('no such series: ' + String(e).slice(0, 100)));
  await changed(page, unloaded);
  await page.getByText('Yes', { exact: true }).click({ timeout: 5000 }).catch(() => {});
  await page.waitForLoadState('networkidle', { timeout: LIMIT });
  await settled(page);
  await page.screenshot({ path: after.replace('.png', '-page.png'), timeout: LIMIT });
  // A viewer that fails at a series may take its canvas away.
  const canvasLeft = await page.locator('canvas').first()
    .screenshot({ path: after, timeout: 20000 }).then(() => true, () => false);
  if (!canvasLeft) await page.screenshot({ path: after, timeout: LIMIT });
  console.log(JSON.stringify({ canvasLeft, said, text: (await page.innerText('body')).slice(0, 2000) }));
  await browser.close();
})().catch(e => { console.error(e); process.exit(1); });

const shot = page => page.locator('canvas').first().screenshot({ timeout: 5000 })
  .catch(() => null);

// Until the canvas shows something else than it did, or is gone; what can't be shown never does.
async function changed(page, before) {
  let gone = 0;
  for (const end = Date.now() + 30000; Date.now() < end && gone < 3;) {
    const now = await shot(page);
    if (now && !now.equals(before)) return;
    gone = (await page.locator('canvas').count()) ? 0 : gone + 1;
    await page.waitForTimeout(500);
  }
}

// Until three pictures of the canvas, a second apart each, are the same and not all of one grey.
async function settled(page) {
  let last = null;
  let same = 0;
  for (const end = Date.now() + 60000; Date.now() < end && same < 2;) {
    await page.waitForTimeout(1000);
    const now = await shot(page);
    same = now && last && now.equals(last) && now.length > 4000 ? same + 1 : 0;
    last = now;
  }
}
