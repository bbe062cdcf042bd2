"""The page's style: one column, light or dark as the reader's system, printable; no script, no web font."""

STYLESHEET = """
:root {
  color-scheme: light dark;
  --ground: #fbfbfa; --card: #fff; --text: #1d2024; --quiet: #5a626b; --line: #dfe2e5; --link: #0b5ea8;
  --chip: #eef1f4; --shade: #0002;
  --good: #0b6b3a; --good-ground: #e2f3e8; --bad: #a3261b; --bad-ground: #fbe6e3;
  --open: #6a5200; --open-ground: #f8efcf;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171a; --card: #1b1f23; --text: #e4e7ea; --quiet: #a0a9b2; --line: #343b42; --link: #7cb8f2;
    --chip: #272d33; --shade: #000b;
    --good: #7fd6a2; --good-ground: #16311f; --bad: #f2a097; --bad-ground: #3d1d1a;
    --open: #e5c968; --open-ground: #332b12;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  overflow-wrap: break-word;
}
.page { max-width: 74rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1, h2, h3, h4 { line-height: 1.25; text-wrap: balance; margin: 0; }
h1 { font-size: 1.9rem; letter-spacing: -.01em; }
h2 { font-size: 1.35rem; margin: 3rem 0 1rem; }
h3 { font-size: 1.1rem; }
h4 { font-size: .95rem; margin: 1.5rem 0 .25rem; }
p { margin: .5rem 0; max-width: 50rem; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, [tabindex]:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.lead { color: var(--quiet); font-size: 1.05rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem 1.5rem;
  margin: 1.5rem 0; padding: 1rem 0; border-block: 1px solid var(--line); }
.facts dt { color: var(--quiet); font-size: .85rem; }
.facts dd { margin: 0; font-weight: 600; }
.contents { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr));
  gap: 1rem 2rem; }
.contents ul { list-style: none; margin: .25rem 0 0; padding: 0; font-size: .9375rem; }
.contents li { padding: .15rem 0; line-height: 1.4; }
.contents p { margin: 0; color: var(--quiet); font-size: .85rem; font-weight: 600; }
.exhibit { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.25rem 1.5rem; margin: 0 0 1.5rem; scroll-margin-top: 1rem; }
.notes, .shared, .body li { color: var(--quiet); font-size: .875rem; }
.body li strong { color: var(--text); }
.body ul, .notes ul, .shared ul { padding-left: 1.1rem; margin: .75rem 0; max-width: 56rem; }
.shared { margin: 1.5rem 0; }
.shared h2 { font-size: 1.1rem; margin: 0; color: var(--text); }
.shared p { margin: .5rem 0; }
header .exhibit { margin: 1.5rem 0; }
header .exhibit > h2 { font-size: 1.1rem; margin: 0; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--link); width: fit-content; font-size: .875rem; }
summary:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
/* The shadow at an edge says that there is more to scroll to; covers that scroll along hide it at the end. */
.table { overflow-x: auto; margin: .5rem 0 1rem; background:
  linear-gradient(90deg, var(--card) 40%, transparent) 0 0 / 2.5rem 100% no-repeat local,
  linear-gradient(270deg, var(--card) 40%, transparent) 100% 0 / 2.5rem 100% no-repeat local,
  linear-gradient(90deg, var(--shade), transparent) 0 0 / .75rem 100% no-repeat scroll,
  linear-gradient(270deg, var(--shade), transparent) 100% 0 / .75rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th { border-bottom: 2px solid var(--quiet); vertical-align: bottom; }
td { border-top: 1px solid var(--line); vertical-align: top; }
th, td { padding: .35rem .75rem .35rem 0; text-align: left; }
/* Words wrap before a table would have to be scrolled; numbers, which are set to the right, do not. */
td[style] { white-space: nowrap; }
td:not([style]):not(:empty) { min-width: 7rem; }
th:not(:first-child), td:not(:first-child) { padding-left: .75rem; }
th:last-child, td:last-child { padding-right: .25rem; }
tr.more td:empty:not([style]) { border-top-color: transparent; }
td.quiet { color: var(--quiet); }
.verdict { display: inline-block; padding: .05rem .55rem; border-radius: 99px; font-size: .8125rem;
  font-weight: 600; background: var(--open-ground); color: var(--open); }
.verdict.supported { background: var(--good-ground); color: var(--good); }
.verdict.contradicted { background: var(--bad-ground); color: var(--bad); }
.verdicts { display: flex; flex-wrap: wrap; align-items: baseline; gap: .4rem; margin: 1rem 0 0; }
.verdicts a { margin-right: .35rem; }
figure { margin: 1rem 0; }
figure a { display: inline-block; max-width: 100%; }
/* Figures are drawn for white paper. */
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 6px; padding: 6px; }
.files { display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; padding: 0; margin: 1rem 0 0; }
.files a { display: block; padding: .15rem .6rem; border-radius: 6px; background: var(--chip);
  font-size: .8125rem; text-decoration: none; }
.files a:hover { text-decoration: underline; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--quiet);
  font-size: .875rem; }
@media (max-width: 40rem) {
  .page { padding: 1.5rem .9rem 3rem; }
  .exhibit { padding: 1rem .9rem; border-radius: 8px; }
  h1 { font-size: 1.5rem; }
  .facts { grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); }
  /* Words break, so that more of a table's numbers are seen without scrolling. */
  table { font-size: .8125rem; }
  td:not([style]):not(:empty) { min-width: 5rem; }
  th, td { padding-right: .4rem; }
  th:not(:first-child), td:not(:first-child) { padding-left: .4rem; }
}
@media print {
  :root { color-scheme: light; --ground: #fff; --card: #fff; --text: #000; --quiet: #444; --line: #bbb;
    --link: #000; --chip: #fff; --shade: #0000; --good: #000; --good-ground: #fff;
    --bad: #000; --bad-ground: #fff; --open: #000; --open-ground: #fff; }
  body { font-size: 10pt; }
  .page { max-width: none; padding: 0; }
  .contents, .files { display: none; }
  .exhibit { border: 0; padding: 0; }
  .table { overflow: visible; }
  /* A page cannot be scrolled: long cells break instead. */
  table { font-size: 7.5pt; }
  th, td { overflow-wrap: normal; }
  td[style] { white-space: normal; }
  td:not([style]):not(:empty) { min-width: 0; }
  th, td, th:not(:first-child), td:not(:first-child) { padding: .2rem; }
  h2, h3, h4 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  /* Paper has nothing to open: folds are printed open. */
  details::details-content { content-visibility: visible; block-size: auto; }
  summary { list-style: none; color: var(--text); font-weight: 600; }
}
"""
