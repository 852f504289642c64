// Walks through the console in Firefox, by keys alone, and prints what it saw
// as JSON. firefox_test.go judges it. Arguments: the program, the address, and
// a file for a picture.
import puppeteer from "puppeteer-core";

const [, , executablePath, base, picture] = process.argv;
const browser = await puppeteer.launch({ browser: "firefox", executablePath, headless: true });
const page = await browser.newPage();
const seen = { browser: await browser.version(), problems: [], hosts: [], way: [], outlines: [] };
page.on("pageerror", (e) => seen.problems.push(String(e)));
page.on("console", (m) => { if (m.type() === "error") seen.problems.push(m.text()); });
page.on("request", (r) => { if (r.url().startsWith("http")) seen.hosts.push(new URL(r.url()).host); });

const until = (expression) => page.waitForFunction(expression, { timeout: 30000, polling: 100 });
const text = (id) => page.$eval("#" + id, (e) => e.textContent);
const focused = () => page.evaluate(() => document.activeElement.id);

// tabTo presses Tab until an element has the focus, which must be seen.
async function tabTo(id) {
  for (let n = 0; n < 60; n++) {
    await page.keyboard.press("Tab");
    if (await focused() !== id) continue;
    seen.way.push(id);
    seen.outlines.push(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle));
    return;
  }
  throw new Error(`Tab never reaches ${id}`);
}

try {
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(base);
  await until(`document.getElementById("link").dataset.state === "live" && document.getElementById("tail").rows.length > 5`);
  await until(`document.querySelectorAll("#charts canvas").length >= 3`);
  await tabTo("slider");
  for (let n = 0; n < 3; n++) await page.keyboard.press("ArrowRight");
  seen.slider = await page.$eval("#percent", (e) => e.value);
  await tabTo("percent");
  await page.keyboard.down("Control");
  await page.keyboard.press("a");
  await page.keyboard.up("Control");
  await page.keyboard.type("25.5");
  await tabTo("why");
  await page.keyboard.type("by keys");
  await page.keyboard.press("Enter");
  await until(`document.getElementById("confirm").open && document.activeElement.id === "apply"`);
  await page.keyboard.press("Enter");
  await until(`document.getElementById("result").textContent.includes("applied")`);
  seen.result = await text("result");
  await until(`document.getElementById("effective").textContent !== "–"`);
  if (picture) await page.screenshot({ path: picture });
  await page.reload();
  await until(`document.getElementById("link").dataset.state === "live"`);
  await tabTo("brake");
  await page.focus("#id");
  for (const key of ["Alt", "Shift"]) await page.keyboard.down(key);
  await page.keyboard.press("B");
  for (const key of ["Shift", "Alt"]) await page.keyboard.up(key);
  await until(`document.activeElement.id === "brake-sure"`);
  seen.asked = await text("brake-said");
  await page.keyboard.press("Enter");
  await until(`document.getElementById("brake-said").className !== ""`);
  seen.brake = await text("brake-said");
  await page.click("#language");
  seen.japanese = await text("brake");
} catch (e) {
  seen.problems.push(String(e));
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
