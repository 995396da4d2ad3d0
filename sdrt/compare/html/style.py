"""The page's style and script: no font, file or address from elsewhere, readable in light and in dark, on narrow screens and wide ones."""

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root{color-scheme:light dark;--ink:#1c2127;--soft:#5b6570;--paper:#fff;--card:#f5f6f8;--rule:#dde1e6;
--c0:#1f6feb;--c1:#d1580b;--c2:#1a7f37;--c3:#8250df;--c4:#bf3989;--c5:#7d6a00;--bad:#b42318;--good:#1a7f37}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa4af;--paper:#14171b;--card:#1d2126;--rule:#343b43;
--c0:#6cb0ff;--c1:#ff9e5e;--c2:#5fd07d;--c3:#c4a1ff;--c4:#ff8fc8;--c5:#dcc654;--bad:#ff8a80;--good:#5fd07d}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:76rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2.25rem 0 .75rem}
.verdict{font-size:1.1rem;font-weight:600;overflow-wrap:anywhere}.verdict.parts{color:var(--bad)}.verdict.alike{color:var(--good)}
.sides{color:var(--soft);overflow-wrap:anywhere}.sides b{color:var(--ink)}
.grid-of-plots,.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1rem}
figure{margin:0;padding:.75rem;background:var(--card);border:1px solid var(--rule);border-radius:8px;min-width:0}
figcaption{font-weight:600;margin-bottom:.5rem}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}.grid{stroke:var(--rule)}
.line{fill:none;stroke-width:2}.bar{fill:var(--c0)}
.line.c0{stroke:var(--c0)}.line.c1{stroke:var(--c1)}.line.c2{stroke:var(--c2)}.line.c3{stroke:var(--c3)}.line.c4{stroke:var(--c4)}.line.c5{stroke:var(--c5)}
.dot.c0{fill:var(--c0)}.dot.c1{fill:var(--c1)}.dot.c2{fill:var(--c2)}.dot.c3{fill:var(--c3)}.dot.c4{fill:var(--c4)}.dot.c5{fill:var(--c5)}
.keys{display:flex;flex-wrap:wrap;gap:.25rem 1rem;font-size:.875rem;color:var(--soft)}
.key i{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-right:.4em}
i.c0{background:var(--c0)}i.c1{background:var(--c1)}i.c2{background:var(--c2)}i.c3{background:var(--c3)}i.c4{background:var(--c4)}i.c5{background:var(--c5)}
.both{position:relative;width:100%;overflow:hidden}.frame{overflow:hidden}
.both img,.difference{display:block;width:100%;height:auto;image-rendering:pixelated}
.both .over{position:absolute;inset:0;clip-path:inset(0 0 0 var(--cut))}
.both span{position:absolute;top:0;bottom:0;left:var(--cut);width:2px;margin-left:-1px;background:#fff;mix-blend-mode:difference}
label{display:flex;gap:.5rem;align-items:center;margin-top:.5rem;color:var(--soft)}input[type=range]{flex:1;min-width:0;accent-color:var(--c0)}
output{min-width:2.5em;text-align:right}
.table{overflow-x:auto;margin-bottom:1rem}table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--rule);white-space:nowrap}
td.long{white-space:normal;overflow-wrap:anywhere}th{color:var(--soft);font-weight:600}tr.parts td{color:var(--bad)}
summary{cursor:pointer;color:var(--soft)}
"""

SCRIPT = """
for (const input of document.querySelectorAll('[data-cut]'))
  input.addEventListener('input', () => input.closest('figure').querySelector('.both').style.setProperty('--cut', input.value + '%'));
for (const input of document.querySelectorAll('[data-gain]'))
  input.addEventListener('input', () => {
    const gain = Math.pow(2, input.value), figure = input.closest('figure');
    figure.querySelector('.difference').style.filter = 'brightness(' + gain + ')';
    figure.querySelector('output').textContent = gain < 10 ? gain.toFixed(1) : Math.round(gain);
  });
"""
