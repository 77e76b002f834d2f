// How the status page looks.

extension StatusPage {
    static let style = #"""
        :root {
          color-scheme: light dark;
          --back: #f7f7f5; --card: #fff; --text: #1c2421; --soft: #56615c; --line: #d5dbd7;
          --busy: #1d6b4f; --kv: #3b62a8; --flow: #1d6b4f; --second: #b3590a; --bad: #a8231c; --fill: #e6ebe8;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --back: #121715; --card: #1b2220; --text: #e6ece9; --soft: #a0aca6; --line: #36413c;
            --busy: #52b48d; --kv: #86a8ea; --flow: #52b48d; --second: #f0a45a; --bad: #ff8d84; --fill: #2a3430;
          }
        }
        * { box-sizing: border-box; }
        [hidden] { display: none !important; }
        body {
          margin: 0 auto; max-width: 76rem; padding: 0 1rem 2rem; background: var(--back); color: var(--text);
          font: 1rem/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
        }
        h1 { font-size: 1.25rem; margin: 0; }
        h1 span { font-weight: 400; color: var(--soft); }
        h2 { font-size: 1rem; margin: 1.75rem 0 .5rem; }
        h3 { font-size: 1rem; margin: 0; }
        a { color: var(--kv); }
        :focus-visible { outline: 3px solid var(--kv); outline-offset: 2px; }
        main:focus-visible { outline: none; }
        .skip { position: absolute; left: -100rem; }
        .skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .5rem; }
        header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; padding: 1rem 0 0; }
        .state { margin: 0; flex: 1 1 12rem; color: var(--soft); }
        .state::before { content: ""; display: inline-block; width: .7em; height: .7em; margin-right: .4em; border-radius: 50%; background: var(--soft); }
        .state.good::before { background: var(--busy); }
        .state.bad { color: var(--bad); }
        .state.bad::before { background: var(--bad); border-radius: 0; }
        button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--soft); border-radius: .4rem; padding: .35rem .9rem; min-height: 2.5rem; }
        button[aria-pressed="true"] { background: var(--text); color: var(--back); }
        .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .5rem; margin: 0; }
        .figures div, .pipeline, .chart, tbody tr { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
        .figures div { padding: .5rem .75rem; }
        dt { color: var(--soft); font-size: .8125rem; }
        dd { margin: 0; font-size: 1.25rem; }
        .pipeline { padding: .75rem; margin-bottom: .75rem; }
        .pipeline p { margin: .1rem 0 .6rem; color: var(--soft); font-size: .875rem; }
        .pipeline p.bad, .bad { color: var(--bad); }
        .way { display: flex; align-items: stretch; list-style: none; margin: 0; padding: 0; flex-wrap: wrap; row-gap: .75rem; }
        .stop { display: flex; flex: 1 1 13rem; min-width: 0; }
        .edge { flex: 0 0 2.25rem; height: .5rem; margin-top: 2.5rem; position: relative; overflow: hidden; border-block: 1px dotted var(--line); }
        .edge i { position: absolute; inset: 0 0 0 -1.5rem; background: radial-gradient(circle, var(--flow) 0 .17rem, transparent .19rem) 0 50% / .75rem .5rem; opacity: 0; }
        .edge.flows i { opacity: 1; animation: flow var(--pace, 1s) linear infinite; }
        @keyframes flow { to { transform: translateX(.75rem); } }
        .stage { flex: 1 1 auto; min-width: 0; border: 1px solid var(--line); border-top: .25rem solid var(--fill); border-radius: .4rem; padding: .4rem .6rem; font-size: .875rem; transition: border-color .4s; }
        .stage.works { border-top-color: var(--busy); }
        .stage b { display: block; }
        .stage .soft, .soft { color: var(--soft); font-size: .8125rem; }
        .meter { display: grid; grid-template-columns: 2.5rem 1fr 3.25rem; gap: .4rem; align-items: center; font-size: .8125rem; }
        .meter span:last-child { text-align: right; }
        .bar { height: .6rem; background: var(--fill); border-radius: .3rem; overflow: hidden; }
        .bar i { display: block; height: 100%; width: 100%; background: var(--busy); transform-origin: left; transform: scaleX(var(--share, 0)); transition: transform .4s; }
        .bar.kv i { background: var(--kv); }
        .pipeline .slow { color: var(--second); font-weight: 600; margin: .2rem 0 0; }
        .chips { display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; margin: .5rem 0 0; padding: 0; }
        .chips li { border: 1px solid var(--line); border-radius: 1rem; padding: .1rem .7rem; font-size: .875rem; background: var(--card); }
        .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr)); gap: .75rem; }
        .chart { margin: 0; padding: .5rem .75rem; min-width: 0; }
        .chart figcaption { font-size: .875rem; }
        .chart svg { width: 100%; height: auto; display: block; }
        .chart text { fill: var(--soft); font-size: 11px; }
        .chart .grid { stroke: var(--line); }
        .chart .first { stroke: var(--busy); fill: var(--busy); }
        .chart .second { stroke: var(--second); fill: var(--second); }
        .chart path { fill: none !important; stroke-width: 2; }
        .chart .second path { stroke-dasharray: 4 3; }
        .key { display: inline-block; width: 1.4em; border-top: 3px solid var(--busy); vertical-align: middle; margin: 0 .3em 0 .6em; }
        .key.second { border-top: 3px dashed var(--second); }
        .faults { list-style: none; margin: 0; padding: 0; font-size: .875rem; }
        .faults li { border-left: .25rem solid var(--bad); padding: .1rem .6rem; margin-bottom: .3rem; background: var(--card); }
        table { width: 100%; border-collapse: separate; border-spacing: 0 .25rem; font-size: .875rem; }
        th { text-align: left; font-weight: 400; color: var(--soft); padding: 0 .6rem; }
        td { padding: .3rem .6rem; vertical-align: top; border-block: 1px solid var(--line); background: var(--card); }
        tbody tr { border: 0; }
        td:first-child { min-width: 11rem; font-size: .8125rem; }
        td:nth-child(4) { width: 40%; }
        td:nth-child(3), td:nth-child(n+5) { white-space: nowrap; }
        th { white-space: nowrap; }
        .map { display: block; width: 100%; min-width: 8rem; height: 1.1rem; }
        .map rect { fill: var(--busy); }
        .map .none { fill: var(--fill); }
        footer { color: var(--soft); font-size: .8125rem; }
        @media (max-width: 58rem) {
          thead { position: absolute; left: -100rem; }
          table, tbody { display: block; }
          tbody tr { display: grid; grid-template-columns: 1fr 1fr; border: 1px solid var(--line); margin-bottom: .5rem; padding: .3rem 0; }
          td { border: 0; background: none; }
          td:first-child, td:nth-child(4) { grid-column: 1 / -1; width: auto; }
          td::before { content: attr(data-name) " "; color: var(--soft); font-size: .8125rem; }
          .stop { flex-basis: 100%; flex-direction: column; align-items: stretch; }
          .edge { flex: 0 0 .5rem; width: 2.25rem; height: .5rem; margin: 0 0 .4rem 1rem; }
        }
        @media (prefers-reduced-motion: reduce) {
          .edge.flows i { animation: none; }
          .stage, .bar i { transition: none; }
        }
        @media (forced-colors: active) {
          .bar i, .map rect, .edge i { forced-color-adjust: none; }
        }

        """#
}
