"""How the report looks, in the light and in the dark."""

from __future__ import annotations

CSS = """
:root{--bg:#fbfbfa;--card:#fff;--ink:#1c1e21;--soft:#686d76;--line:#e4e5e8;--ok:#2f7d5b;
--fail:#c98a1b;--info:#b0413e;--band:#b0413e1c;--fault:#b0413e;--leader:#1f6f4f;--follower:#9fcbb6;
--candidate:#d9b44a;--down:#d9d9dc;--paused:#7b6fb0;--silent:#c9c3d9;--accent:#33658a}
@media (prefers-color-scheme:dark){:root{--bg:#16181b;--card:#1e2125;--ink:#e7e8ea;--soft:#9aa0a8;
--line:#32363c;--ok:#5fbf93;--fail:#e0ab4f;--info:#e0726e;--band:#e0726e26;--fault:#c95c58;
--leader:#4fb488;--follower:#2f5a48;--candidate:#b3923b;--down:#3b3f45;--paused:#8d82c4;
--silent:#4c485c;--accent:#7fb2d6}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1160px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:26px;margin:0 0 4px;letter-spacing:-.01em}h2{font-size:17px;margin:0 0 10px}
p{margin:6px 0}.soft{color:var(--soft)}.mono,code,pre{font-family:ui-monospace,SFMono-Regular,
Menlo,monospace;font-size:13px}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;
margin-top:16px}
header{display:flex;gap:20px;align-items:center;flex-wrap:wrap}
.badge{font-weight:650;font-size:15px;padding:5px 14px;border-radius:999px;color:#fff;
white-space:nowrap}.badge.valid{background:var(--leader)}.badge.INVALID{background:var(--fault)}
.badge.unknown{background:var(--fail)}.small{font-size:12px;padding:1px 9px}
.replay{display:block;background:var(--bg);border:1px solid var(--line);border-radius:6px;
padding:8px 12px;margin-top:10px;overflow-x:auto;white-space:nowrap}
.figures{display:flex;flex-wrap:wrap;gap:10px 34px;margin-top:14px}
.figures div{min-width:90px}.figures b{display:block;font-size:22px;font-weight:600;
letter-spacing:-.01em}.figures span{color:var(--soft);font-size:13px}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}
th{font-weight:550;color:var(--soft);text-align:left;font-size:12.5px}
th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}.num{text-align:right;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto;display:block}.tick,.label{fill:var(--soft);font-size:11.5px}
.label{fill:var(--ink);font-family:ui-monospace,monospace}.middle{text-anchor:middle}
.end{text-anchor:end}.on-fault{fill:#fff;font-size:11px}.grid{stroke:var(--line);stroke-width:1}
.band{fill:var(--band)}.fault{fill:var(--fault)}.writes{fill:var(--ok)}
.role.leader{fill:var(--leader)}.role.follower{fill:var(--follower)}
.role.candidate{fill:var(--candidate)}.role.down{fill:var(--down)}.role.paused{fill:var(--paused)}
.role.silent{fill:var(--silent)}.dot{fill:none;stroke-linecap:round;stroke-width:3.4;
stroke-opacity:.55}.dot.ok{stroke:var(--ok)}.dot.fail{stroke:var(--fail);stroke-opacity:.9}
.dot.info{stroke:var(--info);stroke-opacity:.95;stroke-width:4.4}
.curve{fill:none;stroke-width:1.8;stroke-linejoin:round}.curve.ok{stroke:var(--ok)}
.curve.fail{stroke:var(--fail)}.curve.info{stroke:var(--info)}.gap{fill:var(--accent)}
.gap.long{fill:var(--info)}.call.ok{fill:var(--ok)}.call.fail{fill:var(--fail)}
.call.info{fill:var(--info);fill-opacity:.6}.verdict.valid{fill:var(--leader)}
.verdict.INVALID{fill:var(--fault)}.verdict.unknown{fill:var(--fail)}.verdict.none{fill:var(--down)}
.key{display:inline-flex;align-items:center;gap:6px;margin-right:16px;font-size:13px;
color:var(--soft)}.key i{width:11px;height:11px;border-radius:3px;display:inline-block}
pre{background:var(--bg);border:1px solid var(--line);border-radius:6px;padding:10px 12px;
overflow-x:auto;margin:8px 0 0}details{margin-top:8px}summary{cursor:pointer}
.wrong{color:var(--info)}
"""

# A page of its own width for telephones: narrow plots, and tables whose rows are lists.
NARROW_CSS = """
.narrow{display:none}.promise{margin:0}.promise+.soft{margin-top:0}
@media(max-width:620px){main{padding:14px 10px 40px}section{padding:14px 12px}.wide{display:none}
.narrow{display:block}h1{font-size:22px}.figures{gap:10px 22px}.figures b{font-size:19px}
.replay{white-space:normal;overflow-wrap:anywhere}.mono,pre{overflow-wrap:anywhere}
thead{display:none}tbody,tr,td{display:block}tr{padding:8px 0;border-bottom:1px solid var(--line)}
td{display:flex;gap:10px;padding:2px 0;border:0;overflow-wrap:anywhere}td.num{text-align:left}
td::before{content:attr(data-label);color:var(--soft);font-size:12.5px;flex:0 0 96px}
td:empty{display:none}.scroll{overflow-x:visible}}
"""
