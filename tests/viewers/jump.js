// Opens a study in a viewer, loads a Segmentation, and clicks one of its segments in the list.
// jump.js URL BEFORE.png AFTER.png SERIES-DESCRIPTION SEGMENT CHROMIUM; prints the image numbers that
// the viewer shows before and after the click, as JSON.
const { chromium } = require('playwright-core');

const [, , url, before, after, series, segment, program] = process.argv;
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
  await page.goto(url, { timeout: LIMIT });
  // The tour of the viewer's tools covers everything, whenever it comes up.
  await page.addStyleTag({
    content: '.shepherd-element, .shepherd-modal-overlay-container { display: none !important }',
  });
  const canvas = page.locator('canvas').first();
  await canvas.waitFor({ timeout: LIMIT });
  await page.waitForLoadState('networkidle', { timeout: LIMIT });
  const unloaded = await canvas.screenshot({ timeout: LIMIT });
  await page.getByText(series, { exact: false }).first().dblclick({ timeout: 20000 });
  await changed(page, unloaded);
  await page.getByText('Yes', { exact: true }).click({ timeout: 5000 }).catch(() => {});
  await page.waitForLoadState('networkidle', { timeout: LIMIT });
  await opened(page);
  // To the first image, so that the click has somewhere to go from.
  await canvas.click({ position: { x: 20, y: 400 } });
  await page.keyboard.press('Home');
  const first = await settled(page);
  await canvas.screenshot({ path: before, timeout: LIMIT });
  await page.getByText(segment, { exact: true }).first().click({ timeout: 20000 });
  const jumped = await settled(page);
  await canvas.screenshot({ path: after, timeout: LIMIT });
  await page.screenshot({ path: after.replace('.png', '-page.png'), timeout: LIMIT });
  console.log(JSON.stringify({ first, jumped }));
  await browser.close();
})().catch(e => { console.error(e); process.exit(1); });

const shot = page => page.locator('canvas').first().screenshot({ timeout: 5000 })
  .catch(() => null);

// The list of segments is in a panel at the right, which may be closed.
async function opened(page) {
  const row = page.getByText(segment, { exact: true }).first();
  if (await row.isVisible().catch(() => false)) return;
  await page.locator('[data-cy^="panelSegmentation"]').first().click({ timeout: 20000 });
  await row.waitFor({ timeout: 20000 });
}

// Image number and place in the series, as the viewer writes them in a corner: "I: 5 (1/5)".
const shown = async page =>
  (await page.innerText('body')).match(/I:\s*\d+\s*\(\d+\/\d+\)/)?.[0].replace(/\s+/g, '');

async function changed(page, before) {
  for (const end = Date.now() + 30000; Date.now() < end;) {
    const now = await shot(page);
    if (now && !now.equals(before)) return;
    await page.waitForTimeout(500);
  }
}

// Until three pictures of the canvas, a second apart each, are the same.
async function settled(page) {
  let last = null;
  let same = 0;
  for (const end = Date.now() + 30000; Date.now() < end && same < 2;) {
    await page.waitForTimeout(1000);
    const now = await shot(page);
    same = now && last && now.equals(last) ? same + 1 : 0;
    last = now;
  }
  return shown(page);
}
