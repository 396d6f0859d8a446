import { colours } from './marks.js';

/**
 * Colours after Okabe and Ito, darkened on light ground and lightened on dark ground for a contrast of at least 3 : 1;
 * every series also has a shape and a dash of its own.
 */
const light = `--paper:#fff;--ink:#1b2330;--muted:#566273;--rule:#dce2e9;--wash:#f4f6f8;--accent:#0a5da6;
--c0:#0067a9;--c1:#c64a0a;--c2:#6d7480;--c3:#00795c;--c4:#a03c88;--c5:#8a6c00;--c6:#b3132b;--c7:#5a4bb5`;
const dark = `--paper:#11161d;--ink:#e3e8ef;--muted:#9ba7b6;--rule:#2c3541;--wash:#19202a;--accent:#7cbcf3;
--c0:#69b4f0;--c1:#f59a62;--c2:#aab2bd;--c3:#4fcfa3;--c4:#e09bd0;--c5:#dcc05c;--c6:#ff8d92;--c7:#b6acff`;

export const stylesheet = `
:root{color-scheme:light dark;${light}}
@media screen and (prefers-color-scheme:dark){:root{${dark}}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:break-word}
main{max-width:980px;margin:0 auto;padding:44px 24px 72px}
h1{font-size:1.95rem;line-height:1.18;margin:0 0 14px;letter-spacing:-.015em;text-wrap:balance}
h2{font-size:1.3rem;line-height:1.3;margin:0 0 8px;letter-spacing:-.005em}
h3{font-size:1.05rem;margin:0 0 2px}
.legend+h3,details+h3{margin-top:22px}
main>section{margin-top:56px;padding-top:20px;border-top:1px solid var(--rule)}
p,.prose{max-width:72ch;margin:8px 0}
.prose{padding-left:1.15em}
.prose li{margin:9px 0}
.eyebrow{margin:0 0 6px;color:var(--muted);font-size:.86rem}
.lead{font-size:1.08rem;line-height:1.6}
.muted,.note,.why,.interval{color:var(--muted)}
.note{font-size:.88rem;margin:4px 0}
.figures{display:grid;grid-template-columns:repeat(3,1fr);gap:1px;margin:26px 0;background:var(--rule);border:1px solid var(--rule);border-radius:10px;overflow:hidden}
.figures div{background:var(--paper);padding:12px 16px}
.figures dt{color:var(--muted);font-size:.84rem}
.figures dd{margin:0;font-size:1.4rem;line-height:1.35;font-weight:600;font-variant-numeric:tabular-nums}
nav ol{columns:3;column-gap:32px;margin:0;padding:0;list-style:none;font-size:.92rem}
nav li{break-inside:avoid;padding:2px 0}
a{color:var(--accent);text-underline-offset:3px;text-decoration-thickness:1px}
.task{margin-top:34px}
.pair,.charts{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:30px 40px;margin:14px 0}
.pair.wide{grid-template-columns:minmax(0,1fr)}
.charts{row-gap:0}
.charts figure{display:grid;grid-row:span 3;grid-template-rows:subgrid;row-gap:0;margin-bottom:28px}
figure{margin:0;min-width:0;max-width:520px;break-inside:avoid}
.pair figcaption strong{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
figcaption strong{display:block;font-size:.95rem;line-height:1.4}
figcaption span{display:block;color:var(--muted);font-size:.86rem;line-height:1.45;margin:1px 0 6px}
figure>svg{display:block;width:100%;height:auto;margin-top:4px;overflow:visible}
svg.plot{overflow:hidden}
svg text{fill:var(--muted);font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
svg .axis{fill:var(--ink)}
svg .key{fill:var(--muted)}
svg .halo{stroke:var(--paper);stroke-width:4px;stroke-linejoin:round;paint-order:stroke}
svg .missing{fill:var(--c,var(--muted));font-size:15px}
.grid{stroke:var(--rule);stroke-width:1}
.reference{stroke:var(--muted);stroke-width:1.2;stroke-dasharray:4 4}
.curve{stroke:var(--c);stroke-width:2;fill:none;stroke-linejoin:round}
.raw{stroke:var(--c);stroke-width:1;fill:none;opacity:.26;stroke-linejoin:round}
.whisker{stroke:var(--c);stroke-width:2}
.whisker.thin{stroke-width:1.5;opacity:.8}
.dot{stroke:var(--c);stroke-width:4.2;stroke-linecap:round;fill:none;opacity:.8}
.cross{stroke:var(--c);stroke-width:1.5;fill:none}
.strokes{stroke:var(--c);stroke-width:1.3;fill:none}
svg .outcome{fill:var(--ink);font-size:11px}
.mark{fill:var(--c);stroke:var(--paper);stroke-width:1}
.mark.hollow{fill:var(--paper);stroke:var(--c);stroke-width:1.7}
${Array.from({ length: colours }, (_, i) => `.c${i}{--c:var(--c${i})}`).join('')}
.undecided{--c:var(--c2)}.better{--c:var(--c0)}.worse{--c:var(--c1)}
.legend{display:flex;flex-wrap:wrap;gap:4px 26px;max-width:none;margin:14px 0 4px;padding:0;list-style:none;font-size:.9rem}
.legend li{display:flex;align-items:flex-start;gap:8px;max-width:72ch}
.legend svg{flex:none;width:30px;height:16px;margin-top:4px}
.caption{font-size:.9rem;font-weight:600;margin:14px 0 4px;max-width:none}
.pair .caption{margin-top:4px}
.scroll{overflow-x:auto;margin:0 0 14px;border-top:1.5px solid var(--ink);border-bottom:1px solid var(--rule)}
.scroll:focus-visible,summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.87rem;line-height:1.4}
th,td{padding:6px 0 6px 18px;text-align:left;vertical-align:top;border-top:1px solid var(--rule);font-weight:400}
tbody th:first-child{max-width:17em}
tbody th:first-child:has(code){max-width:none;white-space:nowrap}
th:first-child{padding-left:0;position:sticky;left:0;background:var(--paper);min-width:6.5em;padding-right:4px}
thead th{border-top:0;color:var(--muted);font-size:.82rem;vertical-align:bottom}
th.n,td.n{text-align:right;font-variant-numeric:tabular-nums}
td.n{white-space:nowrap}
td .why,td .text{white-space:normal;display:inline-block}
td .why{font-size:.94em;max-width:15em}
td .text{min-width:18em}
td strong{font-weight:600}
.pair .interval{display:block;font-size:.92em}
.pair td{padding-left:12px}.pair .why{min-width:7.5em}
.nowrap{white-space:nowrap}
.quiet td,.quiet th{color:var(--muted)}
.group th{padding-top:14px;font-weight:600}
.group span{position:sticky;left:0}
details{margin:10px 0}
summary{cursor:pointer;color:var(--accent);font-size:.92rem;padding:3px 0}
.on-paper{display:none}
code{font:.92em/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
footer{margin-top:56px;padding-top:16px;border-top:1px solid var(--rule);color:var(--muted);font-size:.86rem}
@media (max-width:720px){
main{padding:26px 16px 56px}
h1{font-size:1.55rem}
.lead{font-size:1.02rem}
main>section{margin-top:42px}
.pair,.pair.wide,.charts{grid-template-columns:minmax(0,1fr)}
.pair{gap:16px}
nav ol{columns:1}
.figures{grid-template-columns:1fr 1fr}
.figures div{padding:10px 12px}.figures dd{font-size:1.2rem}
svg text{font-size:14px}
th,td{padding-left:12px}
tbody th:first-child:has(code){white-space:normal;max-width:11em}
}
@page{margin:15mm}
@media print{
:root{color-scheme:light}
body{font-size:10.5pt}
main{max-width:none;padding:0}
nav,summary{display:none}
.long:not([open])>summary{display:block;color:var(--muted)}.on-paper{display:inline}
main>section{margin-top:28px}
.scroll{overflow:visible}
details:not(.long)::details-content{content-visibility:visible;block-size:auto;display:block}
tr,.figures,h2,h3{break-inside:avoid}h2,h3,.caption,.group{break-after:avoid}
th:first-child,.group span{position:static}
table{font-size:7pt}
th,td{padding:3px 0 3px 5px}thead th{font-size:6.5pt}
th:first-child{min-width:0}
td.n{white-space:normal}td.n data,td.n strong{white-space:nowrap}
td .text{min-width:0}
tr:has(>:nth-child(6)) td .interval{display:block}
tbody th:first-child:has(code),td:has(code){white-space:normal;overflow-wrap:anywhere}
}
`;
