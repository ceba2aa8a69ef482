// The report's style sheet: light and dark, wide and narrow, on paper.
#ifndef BSQ_TOOL_REPORT_STYLE_HPP
#define BSQ_TOOL_REPORT_STYLE_HPP

namespace tool {

inline constexpr char report_style[] = R"css(
:root {
    color-scheme: light dark;
    --paper: #fff; --wash: #f5f6f8; --ink: #1b2330; --soft: #5a6675; --line: #dde1e7; --grid: #e6e9ee;
    --ours: #1667c9; --rounding: #8b96a5; --held: #c2590a; --reach: #1667c91c; --bars: #7b8899;
    --warn-ink: #7a4300; --warn-paper: #fff5e2; --warn-line: #f0cf94;
}
@media (prefers-color-scheme: dark) {
    :root {
        --paper: #13161b; --wash: #1b2027; --ink: #e3e7ec; --soft: #9ba6b4; --line: #2d343e; --grid: #262c35;
        --ours: #6cb2ff; --rounding: #77828f; --held: #f0a35e; --reach: #6cb2ff24; --bars: #8794a5;
        --warn-ink: #f3cd8c; --warn-paper: #2a2113; --warn-line: #5a4420;
    }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%; }
body {
    max-width: 74rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem;
    font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; font-weight: 650; overflow-wrap: anywhere; }
h2 { margin: 3rem 0 .35rem; font-size: 1.25rem; font-weight: 650; letter-spacing: -.01em; }
p { margin: .35rem 0 .8rem; max-width: 48rem; }
code, pre { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre {
    margin: .6rem 0 1rem; padding: .8rem 1rem; background: var(--wash); border-radius: 6px;
    white-space: pre-wrap; overflow-wrap: anywhere;
}
pre span { display: inline-block; max-width: 100%; }
a { color: var(--ours); text-underline-offset: .15em; }
nav { margin: 1rem 0 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .9rem; }
.soft, .about { color: var(--soft); }
.about { font-size: .9rem; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.strong { font-weight: 600; }

.warnings {
    margin: 1.6rem 0 0; padding: .75rem 1.1rem; background: var(--warn-paper); border: 1px solid var(--warn-line);
    border-radius: 8px; color: var(--warn-ink);
}
.warnings h2 { margin: 0; font-size: 1rem; }
.warnings ul { margin: .3rem 0 0; padding-left: 1.15rem; }
.warnings li { margin: .2rem 0; overflow-wrap: anywhere; }
.warnings details { display: inline; }
.warnings summary { display: inline; cursor: pointer; text-decoration: underline dotted; }

.tiles {
    display: flex; flex-wrap: wrap; gap: 1px; margin: 1.6rem 0 1rem;
    background: var(--line); border: 1px solid var(--line); border-radius: 10px; overflow: hidden;
}
.tiles div { flex: 1 1 11.5rem; background: var(--paper); padding: .9rem 1.1rem 1rem; }
.tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; font-size: .85rem; color: var(--soft); line-height: 1.4; }
.tiles dd.figure {
    color: var(--ink); font-size: 1.7rem; font-weight: 600; letter-spacing: -.02em; line-height: 1.35;
    font-variant-numeric: tabular-nums;
}

table { border-collapse: collapse; width: 100%; margin: .6rem 0 1rem; font-size: .875rem; }
th, td { padding: .28rem .6rem; text-align: left; vertical-align: middle; border-bottom: 1px solid var(--line); }
thead th {
    color: var(--soft); font-weight: 500; font-size: .82rem; border-bottom-color: var(--soft); vertical-align: bottom;
}
th.n { text-align: right; }
tbody th { font-weight: 400; }
th:first-child, td:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
.name { overflow-wrap: anywhere; }
.settings { margin: .6rem 0 1rem; padding-left: 1.15rem; columns: 22rem auto; font-size: .9rem; }
table.small { width: auto; min-width: 22rem; }
.wide {
    overflow-x: auto; margin: .6rem 0 1rem; scrollbar-width: thin;
    background: linear-gradient(90deg, var(--paper) 2rem, transparent) left / 3rem 100% no-repeat local,
        linear-gradient(270deg, var(--paper) 2rem, transparent) right / 3rem 100% no-repeat local,
        linear-gradient(90deg, var(--line), transparent) left / 1rem 100% no-repeat scroll,
        linear-gradient(270deg, var(--line), transparent) right / 1rem 100% no-repeat scroll;
}
.scrolls { display: none; }
.more summary { cursor: pointer; color: var(--ours); font-size: .9rem; margin: .2rem 0 .8rem; }
.wide:focus-visible { outline: 2px solid var(--ours); outline-offset: 2px; }
.wide table { margin: 0; }
.wide thead th { white-space: nowrap; }
.wide tbody .name { min-width: 10rem; max-width: 15rem; }
.wide td, .wide th:not(:first-child) { padding-left: .45rem; padding-right: .45rem; }
.wide .words { min-width: 7rem; color: var(--warn-ink); }

.errors { table-layout: fixed; }
.errors td, .errors tbody th, .contributions td, .contributions tbody th {
    padding-top: 0; padding-bottom: 0; height: 24px; line-height: 1.2;
}
.errors th:first-child { width: 24%; }
.errors th.n { width: 5.7rem; }
.errors th.bits { width: 3.2rem; }
.errors .name, .contributions .name {
    white-space: nowrap; overflow: hidden; text-overflow: ellipsis; padding-right: .8rem; direction: rtl; text-align: left;
}
.contributions { table-layout: fixed; max-width: 52rem; }
.contributions th:first-child { width: 34%; }
.contributions th.n { width: 6rem; }
.why { display: block; color: var(--soft); white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
td.chart, th.chart { padding-left: 0; padding-right: 0; }
svg { display: block; }
svg.row { width: 100%; height: 23px; overflow: visible; }
svg.axis { width: 100%; height: 17px; overflow: visible; }
svg.axis text { fill: var(--soft); font-size: 12px; }
svg.at { overflow: visible; }
.grid { stroke: var(--grid); }
.gain { stroke: var(--rounding); stroke-width: 1.5; opacity: .55; }
circle.rounding { fill: var(--paper); stroke: var(--rounding); stroke-width: 1.6; }
circle.ours { fill: var(--ours); }
path.held { fill: var(--paper); stroke: var(--held); stroke-width: 1.6; }
rect.bar { fill: var(--ours); }
rect.rest { fill: var(--rounding); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; font-size: .875rem; color: var(--soft); }
.legend span { display: inline-flex; align-items: center; gap: .4rem; }
svg.key { width: 16px; height: 16px; }

.cards {
    display: grid; grid-template-columns: repeat(auto-fill, minmax(14.5rem, 1fr)); gap: 1.4rem 1.6rem; margin: 1rem 0;
}
figure { margin: 0; min-width: 0; }
.card { font-size: .85rem; }
.card .name { display: block; font-weight: 550; margin: .4rem 0 .3rem; overflow-wrap: anywhere; }
.card p { margin: .3rem 0 0; }
dl { margin: 0; }
.card dl div { display: flex; justify-content: space-between; gap: .8rem; }
.card dt { color: var(--soft); white-space: nowrap; }
.card dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.histogram { width: 100%; height: 60px; background: var(--wash); border-radius: 4px; }
.bars { fill: var(--bars); }
.reach { fill: var(--reach); }
.edge { stroke: var(--ours); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.ends {
    display: flex; justify-content: space-between; color: var(--soft); font-size: .78rem;
    font-variant-numeric: tabular-nums;
}
.differs, .card .differs dt { color: var(--held); }

.picture { width: 100%; height: auto; border-radius: 4px; background: var(--wash); }
.picture.small image, .picture.small use { image-rendering: pixelated; }
.card .picture { max-height: 16rem; }
.pair { margin: 1.2rem 0 2rem; }
.pair figcaption { margin-bottom: .5rem; }
.pair .name { font-weight: 550; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: .8rem; }
.side { margin: 0 0 .2rem; font-size: .85rem; color: var(--soft); }
.mask { fill-opacity: .42; fill-rule: evenodd; }
.box { fill: none; }
.labels text {
    fill: #fff; stroke: #000c; stroke-linejoin: round; paint-order: stroke; font-weight: 600;
    font-family: system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
.alone .box { stroke: #ff3b30; }
footer {
    margin-top: 3.5rem; padding-top: .8rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .85rem;
}

@media (max-width: 66rem) {
    .scrolls { display: block; }
}
@media (max-width: 44rem) {
    body { padding: 1.4rem 1rem 3rem; }
    h1 { font-size: 1.5rem; }
    .two { grid-template-columns: 1fr; }
    .tiles div { flex-basis: 40%; padding: .7rem .8rem; }
    .tiles dd.figure { font-size: 1.35rem; }
    .errors .extra { display: none; }
    .errors th:first-child { width: 32%; }
    .errors th.n { width: 6rem; }
    .errors td, .errors th, .contributions td, .contributions th { padding-left: .2rem; padding-right: .2rem; }
    .contributions .extra { display: none; }
    .contributions th:first-child { width: 45%; }
    table.small { min-width: 0; width: 100%; font-size: .8rem; }
    .small th, .small td { padding-left: .25rem; padding-right: .25rem; white-space: normal; }
    .cards { grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
}
@media print {
    :root {
        color-scheme: light;
        --paper: #fff; --wash: #f5f6f8; --ink: #000; --soft: #444; --line: #ccc; --grid: #ddd; --ours: #1667c9;
        --rounding: #777; --held: #c2590a; --reach: #1667c91c; --bars: #777; --warn-ink: #000; --warn-paper: #fff;
        --warn-line: #888;
    }
    * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
    body { max-width: none; padding: 0; font-size: 10pt; }
    nav { display: none; }
    tr, figure, .warnings, .tiles div { break-inside: avoid; }
    h2 { break-after: avoid; }
    .errors { font-size: 8pt; }
    .errors th.n { width: 3.4rem; }
    .errors th.bits { width: 2rem; }
    svg.axis text { font-size: 9px; }
    .wide { overflow: visible; background: none; }
    .scrolls { display: none; }
    .wide table { font-size: 6.5pt; }
    .wide th, .wide td { padding: .15rem .25rem; }
    .wide .words, .wide tbody .name { min-width: 0; }
}
)css";

} // namespace tool

#endif
