/** Colours after Okabe and Ito, darkened or lightened for contrast; every series also has its own shape. */
export const style = `
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2430;--muted:#5b6675;--rule:#dfe4ea;--wash:#f5f7f9;--accent:#0b62a8;
--c0:#0b62a8;--c1:#c2410c;--c2:#6b7280;--c3:#047857;--c4:#9d3b8f;--c5:#8a6d00}
@media (prefers-color-scheme:dark){:root{--paper:#12171e;--ink:#e4e9f0;--muted:#9aa7b7;--rule:#2b3440;--wash:#1a212a;--accent:#6cb6f2;
--c0:#6cb6f2;--c1:#f59b6b;--c2:#a7b0bd;--c3:#4fd1a1;--c4:#dd9bd3;--c5:#dfc15a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1120px;margin:0 auto;padding:40px 24px 80px}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:1.25rem;margin:52px 0 6px;padding-top:18px;border-top:1px solid var(--rule)}
h3{font-size:1.02rem;margin:26px 0 4px}
p{max-width:72ch;margin:8px 0}
.muted,.note{color:var(--muted)}
.note{font-size:.92rem}
.lead{font-size:1.08rem}
.lead li{margin:6px 0}
ul{max-width:74ch;padding-left:1.2em}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:24px 0;padding:0}
.figures div{background:var(--wash);border-radius:10px;padding:14px 16px}
.figures dt{color:var(--muted);font-size:.85rem}
.figures dd{margin:2px 0 0;font-size:1.4rem;font-weight:600;font-variant-numeric:tabular-nums}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:22px 28px;margin:14px 0}
figure{margin:0;min-width:0}
figcaption{font-weight:600;font-size:.95rem;margin-bottom:4px}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--muted);font:14px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg .axis{font-size:14px}
.grid{stroke:var(--rule);stroke-width:1}
.reference{stroke:var(--muted);stroke-width:1.4;stroke-dasharray:5 4}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;font-size:.92rem;max-width:none}
.legend span{display:inline-flex;align-items:center;gap:6px}
.legend svg{width:14px;height:14px}
${[0, 1, 2, 3, 4, 5].map((i) => `.f${i}{fill:var(--c${i})}.s${i}{stroke:var(--c${i});stroke-width:2;fill:none;stroke-linejoin:round}`).join('')}
.s1{stroke-dasharray:7 3}.s2{stroke-dasharray:2 3}.s4{stroke-dasharray:7 3 2 3}
.charts line.s1,.charts line.s2,.charts line.s4{stroke-dasharray:none}
.scroll{overflow-x:auto;margin:14px 0;border:1px solid var(--rule);border-radius:10px}
.scroll:focus-visible{outline:2px solid var(--accent)}
table{border-collapse:collapse;width:100%;font-size:.9rem}
caption{text-align:left;padding:10px 14px 4px;font-weight:600}
th,td{padding:6px 14px;text-align:left;vertical-align:top;border-top:1px solid var(--rule)}
thead th{border-top:0;color:var(--muted);font-weight:600;font-size:.82rem;white-space:nowrap;vertical-align:bottom}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td .why{color:var(--muted);font-variant-numeric:normal;white-space:normal}
details{margin:12px 0}
summary{cursor:pointer;color:var(--accent);font-weight:600}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}
footer{margin-top:60px;color:var(--muted);font-size:.88rem}
@media (max-width:560px){main{padding:24px 14px 60px}h1{font-size:1.5rem}th,td{padding:6px 9px}.figures{grid-template-columns:1fr 1fr}}
@media print{main{max-width:none;padding:0}.scroll{overflow:visible}details>*{display:block}}
`;
