// Looks at the built pages in Chromium, on behalf of tests/browser.rs.
//
// node check.mjs CHROMIUM ADDRESS REPOSITORY
//
// Reads one request a line, {"check": …, "page": …, "pages": […]}, and answers
// each with one line, {"checks": how many things it looked at, "problems":
// […]}. It ends when its input does.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const THEMES = ['light', 'rust', 'coal', 'navy', 'ayu'];
const COLOR_RULES = ['color-contrast', 'link-in-text-block'];
const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1280, height: 900 };
const WIDE = { width: 1920, height: 1080 };
// A check that waits longer than this for the page has found a defect.
const PATIENCE = 10_000;

const [executablePath, address, repository] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// What a check has looked at and found. One defect is often to be seen in many
// places, and is reported once with all of them.
class Report {
    checks = 0;
    places = new Map();

    expect(holds, problem, place = '') {
        this.checks += 1;
        if (!holds) {
            const places = this.places.get(problem) ?? new Set();
            this.places.set(problem, places.add(place));
        }
    }

    toJSON() {
        const problems = [...this.places].map(([problem, places]) => {
            const list = [...places].filter(place => place).join('; ');
            return list ? `${problem}, in ${list}` : problem;
        });
        return { checks: this.checks, problems };
    }
}

// One page serves all checks one after the other, which spares Chromium to
// load fonts and scripts again; `close` makes it forget what a check has stored.
let shared;

// Opens `path`. What the page asks of another host or says on the console is
// a problem from now on.
async function open(browser, report, path, viewport) {
    shared ??= await newPage(browser);
    const page = shared;
    await page.setViewportSize(viewport);
    page.on('request', request => {
        const { origin, protocol } = new URL(request.url());
        const isOurs = origin === new URL(address).origin || protocol === 'data:' || protocol === 'blob:';
        report.expect(isOurs, `asks another host for ${request.url()}`);
    });
    // Chromium notes the missing page that a check asks for on purpose.
    const purpose = path === '404.html' ? 'nowhere/nothing.html' : path;
    const url = new URL(purpose, address).href;
    page.on('console', message => {
        if (message.type() === 'error' && !(path === '404.html' && message.location().url === url)) {
            report.expect(false, `the console says: ${message.text()} (${message.location().url})`);
        }
    });
    page.on('pageerror', error => report.expect(false, `a script fails: ${error.message}`));
    await page.goto(url);
    // A color on its way from one theme to the next is nobody's color.
    await page.addStyleTag({ content: '* { transition: none !important; }' });
    return page;
}

async function newPage(browser) {
    const context = await browser.newContext({
        reducedMotion: 'reduce',
        permissions: ['clipboard-read', 'clipboard-write'],
    });
    context.setDefaultTimeout(PATIENCE);
    return context.newPage();
}

async function close(page) {
    await page.evaluate(() => {
        localStorage.clear();
        sessionStorage.clear();
    });
    await page.context().clearCookies();
    for (const event of ['request', 'console', 'pageerror']) {
        page.removeAllListeners(event);
    }
}

// Everything that has to hold on every page.
async function checkPage(browser, report, { page: path }) {
    for (const viewport of [DESKTOP, PHONE]) {
        const page = await open(browser, report, path, viewport);
        await page.evaluate(axe);
        await checkStructure(page, report, `${viewport.width} px`);
        await page.evaluate(takeOutTwins);
        for (const theme of THEMES) {
            const place = `${theme}, ${viewport.width} px`;
            await page.evaluate(theme => document.getElementById(`mdbook-theme-${theme}`).click(), theme);
            await checkColors(page, report, theme, place);
            await checkFigures(page, report, place);
        }
        await page.evaluate(() => window.putBack());
        const beyond = await page.evaluate(widest);
        report.expect(!beyond, `is wider than ${viewport.width} px: ${beyond}`);
        await checkColumns(page, report, viewport === PHONE ? 'stacked' : 'side by side');
        if (viewport === DESKTOP) {
            await checkCopyButtons(page, report);
            await checkSourceLinks(page, report);
            await checkPrograms(page, report);
            await page.setViewportSize(WIDE);
            const beyond = await page.evaluate(widest);
            report.expect(!beyond, `is wider than ${WIDE.width} px: ${beyond}`);
            await checkColumns(page, report, 'side by side');
        }
        // Nothing was asked of another host, nothing was on the console.
        report.checks += 2;
        await close(page);
    }
}

// The themes differ in colors and in nothing else, so the rules on anything
// else are tried once.
async function checkStructure(page, report, place) {
    await page.evaluate(joinWords);
    const rules = Object.fromEntries(COLOR_RULES.map(rule => [rule, { enabled: false }]));
    await runAxe(page, report, place, { rules });
    await page.evaluate(() => window.putBack());
}

// By theme: what the texts look like that axe has judged, on whatever page, and
// has found nothing to say against.
const judged = new Map(THEMES.map(theme => [theme, []]));

async function checkColors(page, report, theme, place) {
    const seen = await page.evaluate(looks, judged.get(theme));
    if (seen.length === 0) {
        return;
    }
    if (await runAxe(page, report, place, { runOnly: COLOR_RULES }, 'fresh')) {
        judged.get(theme).push(...seen);
    }
}

// Whether axe has nothing to say against the elements that the page's variable
// `within` holds.
async function runAxe(page, report, place, options, within = 'document') {
    const { violations, passes } = await page.evaluate(
        ([within, options]) => axe.run(window[within], { resultTypes: ['violations'], ...options }), [within, options]);
    report.checks += passes.length;
    for (const { id, help, nodes } of violations) {
        const where = nodes.slice(0, 3).map(node => node.target.join(' ')).join(', ');
        report.expect(false, `axe: ${id} (${help}), ${nodes.length} times: ${where}`, place);
    }
    return violations.length === 0;
}

// In the page: what axe's rules on colors go by, of each piece of text. Who
// looks like something that has been judged need not be judged again: returns
// the looks that are not in `known`, with an element of each in `fresh`.
function looks(known) {
    const found = new Set(known);
    const fresh = new Map();
    const grounds = new Map();
    function ground(element) {
        if (!grounds.has(element)) {
            const { backgroundColor, backgroundImage, opacity } = getComputedStyle(element);
            const own = `${backgroundColor} ${backgroundImage} ${opacity}`;
            const clear = backgroundColor === 'rgba(0, 0, 0, 0)' && backgroundImage === 'none' && opacity === '1';
            const parent = element.parentElement;
            grounds.set(element, clear && parent ? ground(parent) : `${own}/${parent && opacity !== '1' ? ground(parent) : ''}`);
        }
        return grounds.get(element);
    }
    for (const element of document.querySelectorAll('body *')) {
        const hasText = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
        if (hasText && element.getClientRects().length > 0) {
            const { color, fontSize, fontWeight, textDecorationLine, textShadow } = getComputedStyle(element);
            // A link must stand out from the text around it.
            const link = element.closest('a');
            const around = link ? getComputedStyle(link.parentElement).color : '';
            // WCAG asks less of large text: of 24 px, or of bold 18.66 px.
            const isLarge = parseFloat(fontSize) >= (fontWeight >= 700 ? 18.66 : 24);
            const look = [around, color, isLarge, fontWeight, textDecorationLine, textShadow, ground(element)].join();
            if (!found.has(look)) {
                found.add(look);
                fresh.set(look, element);
            }
        }
    }
    window.fresh = [...fresh.values()];
    return [...fresh.keys()];
}

// In the page: makes one text of the words of each listing. They differ in
// their colors alone, and there are thousands of them.
function joinWords() {
    const listings = [...document.querySelectorAll('pre code')]
        .filter(code => !code.querySelector(':is(a, button, [role], [tabindex])'));
    const whole = listings.map(code => {
        const all = [...code.childNodes];
        code.replaceChildren(code.innerText);
        return () => code.replaceChildren(...all);
    });
    window.putBack = () => whole.forEach(putBack => putBack());
}

// In the page: takes out each word of a listing that has the same classes, up to
// its listing, as one before it: it looks the same, and axe need not judge the
// thousands of them one by one.
function takeOutTwins() {
    const looks = new Set();
    const classes = element => `${element.className} ${element.getAttribute('style') ?? ''}`;
    const whole = [...document.querySelectorAll('pre code')].map(code => {
        const around = `${classes(code)}/${classes(code.closest('pre'))}/${code.closest('details') ? 'details' : ''}`;
        const rest = [...code.childNodes].filter(word => {
            const inner = word.querySelectorAll ? [...word.querySelectorAll('*')].map(classes) : [];
            const look = [around, word.nodeName, word.className === undefined ? '' : classes(word), ...inner].join();
            const isNew = !looks.has(look);
            looks.add(look);
            return isNew;
        });
        const all = [...code.childNodes];
        code.replaceChildren(...rest);
        return () => code.replaceChildren(...all);
    });
    window.putBack = () => whole.forEach(putBack => putBack());
}

// In the page: what sticks out on the right, or nothing. mdBook lets a whole
// page scroll inside its frame, so it does not help to ask how wide the
// document is. Code and tables scroll by themselves.
function widest() {
    const out = [...document.querySelectorAll('main, main *')].find(element =>
        element.getBoundingClientRect().right > window.innerWidth + 1
        && !element.closest('pre, .table-wrapper'));
    return out ? `<${out.localName}> ${out.textContent.trim().slice(0, 60)}` : '';
}

async function checkFigures(page, report, place) {
    for (const { name, problems } of await page.evaluate(figures)) {
        report.expect(problems.length === 0, `figure "${name}": ${[...new Set(problems)].join(', ')}`, place);
    }
}

// In the page: each timeline, with whatever of it a reader cannot see. WCAG
// asks for a contrast of 4.5 in text and 3 in the lines of a figure.
function figures() {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    function luminance(color) {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(value => {
            const part = value / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    }
    function contrast(one, other) {
        const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
    }
    const background = getComputedStyle(document.documentElement).getPropertyValue('--bg');
    return [...document.querySelectorAll('svg.timeline')].map(svg => {
        const problems = [];
        const box = svg.getBoundingClientRect();
        if (!svg.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || box.width < 200 || box.height < 50) {
            problems.push(`is not to be seen (${Math.round(box.width)} x ${Math.round(box.height)})`);
        }
        // A gap has the color of the page to hide what is under it.
        for (const part of svg.querySelectorAll(':is(text, rect, path, line, circle, polygon, polyline):not(.tl-gap)')) {
            const style = getComputedStyle(part);
            const isText = part.localName === 'text';
            const paints = isText ? [style.fill] : [style.fill, style.stroke].filter(paint => paint !== 'none');
            const best = Math.max(0, ...paints.map(paint => contrast(paint, background)));
            if (best < (isText ? 4.5 : 3)) {
                problems.push(`${part.localName}.${part.getAttribute('class')} has a contrast of ${best.toFixed(1)}`);
            }
        }
        return { name: svg.querySelector('title')?.textContent, problems };
    });
}

// Each button copies what the reader sees, to the letter.
async function checkCopyButtons(page, report) {
    await page.evaluate(() => document.querySelectorAll('details').forEach(it => { it.open = true; }));
    const texts = await page.evaluate(async () => {
        const texts = [];
        for (const button of document.querySelectorAll('pre .clip-button')) {
            const code = button.closest('pre').querySelector('code').cloneNode(true);
            code.querySelectorAll('.boring').forEach(hidden => hidden.remove());
            await navigator.clipboard.writeText('nothing copied');
            button.click();
            texts.push({ visible: code.textContent, copied: await navigator.clipboard.readText() });
        }
        return texts;
    });
    for (const { visible, copied } of texts) {
        const start = visible.trim().split('\n')[0];
        report.expect(copied === visible, `the copy button of "${start}" copies ${JSON.stringify(difference(copied, visible))}`);
    }
    const blocks = await page.locator('main pre > code').count();
    const buttons = await page.locator('main pre .clip-button').count();
    report.expect(blocks === buttons, `has ${blocks} code blocks and ${buttons} copy buttons`);
}

// Two figures to be compared share the width of a screen, and not of a phone's.
async function checkColumns(page, report, expected) {
    const arrangements = await page.evaluate(() => [...document.querySelectorAll('.compared')].map(block => {
        const [one, other] = [...block.children].map(column => column.getBoundingClientRect());
        if (other.top >= one.bottom - 1) {
            return 'stacked';
        }
        return other.left >= one.right && other.top === one.top ? 'side by side' : 'one over the other';
    }));
    for (const arrangement of arrangements) {
        const { width } = page.viewportSize();
        report.expect(arrangement === expected, `two figures are ${arrangement} at ${width} px, not ${expected}`);
    }
}

// One click on the eye of any Rust block, or none, shows a whole program.
async function checkPrograms(page, report) {
    const blocks = await page.evaluate(() => [...document.querySelectorAll('pre > code.language-rust')].map(code => {
        const piece = code.innerText;
        code.parentElement.querySelector('[title="Show hidden lines"]')?.click();
        const shown = code.innerText;
        code.parentElement.querySelector('[title="Hide lines"]')?.click();
        return { piece, shown, again: code.innerText };
    }));
    for (const { piece, shown, again } of blocks) {
        const start = piece.trim().split('\n')[0];
        report.expect(shown.includes('fn main()') && shown.includes(piece), `the eye of "${start}" does not show its program`);
        report.expect(again === piece, `the eye of "${start}" does not hide the rest again`);
    }
}

// The name of each listing's file leads to the file in the repository.
async function checkSourceLinks(page, report) {
    const names = await page.evaluate(() => [...document.querySelectorAll('figure.listing figcaption code')]
        .map(code => ({ name: code.textContent, link: code.closest('a')?.href })));
    for (const { name, link } of names) {
        report.expect(link === `${repository}/blob/HEAD/${name}`, `the name ${name} leads to ${link}`);
    }
}

// From the first line on in which `copied` is not what it should be.
function difference(copied, visible) {
    const expected = visible.split('\n');
    const lines = copied.split('\n');
    const first = lines.findIndex((line, index) => line !== expected[index]);
    return lines.slice(first).join('\n').slice(0, 80);
}

// The reader's choice of a theme takes effect and is remembered.
async function checkThemes(browser, report, { page: path }) {
    const page = await open(browser, report, path, DESKTOP);
    const seen = new Set();
    for (const theme of THEMES) {
        await page.click('#mdbook-theme-toggle');
        await page.click(`#mdbook-theme-${theme}`);
        await page.keyboard.press('Escape');
        const shown = () => page.evaluate(() => document.documentElement.classList.value.split(' '));
        report.expect((await shown()).includes(theme), `choosing ${theme} does not show it`);
        seen.add(await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor));
        await page.reload();
        report.expect((await shown()).includes(theme), `${theme} is forgotten when the page is loaded again`);
    }
    report.expect(seen.size === THEMES.length, `the themes have ${seen.size} backgrounds`);
    await close(page);
}

// Next leads through all pages in order, and the left arrow key back again. On
// a phone the arrows are other ones.
async function checkWalk(browser, report, { pages }) {
    const here = page => new URL(page.url()).pathname.slice(1);
    const forward = pages.slice(1);
    const back = pages.slice(0, -1).reverse();
    async function walk(page, stops, how, step) {
        for (const stop of stops) {
            const from = here(page);
            await step(page);
            await page.waitForURL(new URL(stop, address).href).catch(() => {});
            report.expect(here(page) === stop, `${how} leads from ${from} to ${here(page)}, not to ${stop}`);
            if (here(page) !== stop) {
                return;
            }
        }
    }
    const desktop = await open(browser, report, pages[0], DESKTOP);
    await walk(desktop, forward, 'next', page => page.click('a.next:visible'));
    await walk(desktop, back, 'the left arrow key', page => page.keyboard.press('ArrowLeft'));
    await close(desktop);
    const phone = await open(browser, report, pages[0], PHONE);
    await walk(phone, forward.slice(0, 2), 'next on a phone', page => page.click('a.next:visible'));
    await walk(phone, back.slice(-2), 'previous on a phone', page => page.click('a.previous:visible'));
    await close(phone);
}

// A word that stands on one page only leads to that page. A page that has no
// such word is looked for by its title.
async function checkSearch(browser, report, { pages }) {
    const page = await open(browser, report, pages[0], DESKTOP);
    const texts = await page.evaluate(pages => Promise.all(pages.map(async path => {
        const html = await (await fetch(path)).text();
        const main = new DOMParser().parseFromString(html, 'text/html').querySelector('main');
        const prose = [...main.querySelectorAll('h1, p')].map(it => it.textContent).join(' ');
        return {
            title: main.querySelector('h1').textContent,
            words: [...new Set(prose.match(/(?<![\w-])[a-z]{7,12}(?![\w-])/g))],
            all: [...new Set(main.textContent.toLowerCase().match(/[a-z]{3,}/g))],
        };
    })), pages);
    for (const [index, path] of pages.entries()) {
        // Not a form of a word elsewhere either: the search goes by the stem,
        // which is the same for copying and copied.
        const stem = word => word.slice(0, 5).replace(/(?:i|y).*$/, 'i');
        const others = new Set(texts.filter((_, other) => other !== index)
            .flatMap(({ all }) => all.map(stem)));
        const { title, words } = texts[index];
        const sought = words.find(word => !others.has(stem(word))) ?? title;
        await page.goto(new URL(pages[0], address).href);
        await page.keyboard.press('/');
        await page.locator('#mdbook-searchbar').pressSequentially(sought);
        const found = page.locator(`#mdbook-searchresults a[href*="${path}"]`).first();
        const isThere = await found.waitFor({ timeout: PATIENCE / 2 }).then(() => true, () => false);
        report.expect(isThere, `the search for "${sought}" does not find ${path}`);
    }
    await close(page);
}

// Tab leads to the sidebar's button, and Enter opens and closes the sidebar.
async function checkKeyboard(browser, report, { page: path }) {
    const page = await open(browser, report, path, PHONE);
    let stop = '';
    for (let tabs = 0; tabs < 20 && stop !== 'mdbook-sidebar-toggle'; tabs += 1) {
        await page.keyboard.press('Tab');
        stop = await page.evaluate(() => document.activeElement.id);
    }
    report.expect(stop === 'mdbook-sidebar-toggle', 'the Tab key does not reach the sidebar button');
    const toggle = page.locator('#mdbook-sidebar-toggle');
    for (const expected of ['true', 'false']) {
        await page.keyboard.press('Enter');
        report.expect(await toggle.getAttribute('aria-expanded') === expected, `after Enter the sidebar button does not say aria-expanded=${expected}`);
        const visible = await page.evaluate(() => document.documentElement.classList.contains('sidebar-visible'));
        report.expect(String(visible) === expected, `Enter on the sidebar button leaves the sidebar ${visible ? 'open' : 'closed'}`);
    }
    await close(page);
}

const CHECKS = {
    page: checkPage,
    themes: checkThemes,
    walk: checkWalk,
    search: checkSearch,
    keyboard: checkKeyboard,
};

// What a page asks of another host is refused.
const NO_OTHER_HOST = '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1';
const browser = await chromium.launch({ executablePath, args: ['--disable-gpu', '--disable-background-networking', NO_OTHER_HOST] });
for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    const report = new Report();
    try {
        await CHECKS[request.check](browser, report, request);
    } catch (error) {
        report.expect(false, `the check cannot go on: ${error.message}`);
        await shared?.context().close();
        shared = undefined;
    }
    console.log(JSON.stringify(report));
}
await browser.close();
