// The style sheet of the report page.

/// Colours and layout. The series' colours are Okabe and Ito's, darker on white and lighter on black where the
/// original stands out too little.
package enum PageStyle {
    /// A set of colours as `#rrggbb`.
    package struct Theme: Sendable {
        /// The page.
        package let background: String
        /// Cards and plots.
        package let surface: String
        /// Text.
        package let ink: String
        /// Text of less weight.
        package let muted: String
        /// Grid lines.
        let grid: String
        /// The bound.
        package let bound: String
        /// Failures.
        let failure: String
        /// One per mode.
        package let series: [String]
    }

    /// On white paper and screens.
    package static let light = Theme(
        background: "#f6f7f8", surface: "#ffffff", ink: "#1b1f24", muted: "#57606a", grid: "#dfe3e7",
        bound: "#b3261e", failure: "#d1352b",
        series: ["#0072b2", "#d55e00", "#00805d", "#b0528a", "#946200", "#2d86bd", "#6d6a00", "#4c4c4c"])

    /// On dark screens.
    package static let dark = Theme(
        background: "#111418", surface: "#1a1e24", ink: "#e8eaed", muted: "#a4adb8", grid: "#343b44",
        bound: "#ff8a80", failure: "#ff6b5e",
        series: ["#56b4e9", "#e69f00", "#2ec79a", "#e09ac4", "#f0e442", "#f08a5d", "#8fb8ff", "#c9ced6"])

    /// The badges' text and colour, the same in both themes.
    package static let badges = [
        (styleClass: "valid", ink: "#ffffff", background: "#00684c"),
        (styleClass: "missed", ink: "#ffffff", background: "#b3261e"),
        (styleClass: "inconclusive", ink: "#1b1f24", background: "#f0c04a"),
        (styleClass: "measured", ink: "#ffffff", background: "#0b5cad"),
        (styleClass: "void", ink: "#ffffff", background: "#57606a"),
    ]

    /// Modes with colours of their own.
    static let seriesCount = light.series.count

    /// The whole style sheet.
    static var text: String {
        let badgeRules = badges.map {
            ".badge.\($0.styleClass){color:\($0.ink);background:\($0.background)}"
        }
        let seriesRules = (0..<seriesCount).map { ".series\($0){--series:var(--series\($0))}" }
        return ":root{color-scheme:light dark;\(variables(light))}\n"
            + "@media screen and (prefers-color-scheme:dark){:root{\(variables(dark))}}\n"
            + rules + badgeRules.joined(separator: "\n") + "\n" + seriesRules.joined(separator: "\n") + "\n"
    }

    private static func variables(_ theme: Theme) -> String {
        let named = [
            ("background", theme.background), ("surface", theme.surface), ("ink", theme.ink),
            ("muted", theme.muted), ("grid", theme.grid), ("bound", theme.bound), ("failure", theme.failure),
        ]
        let series = theme.series.enumerated().map { ("series\($0.offset)", $0.element) }
        return (named + series).map { "--\($0.0):\($0.1)" }.joined(separator: ";")
    }

    private static let rules = """
        *{box-sizing:border-box}
        body{margin:0;background:var(--background);color:var(--ink);overflow-wrap:anywhere;
        font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
        main{max-width:1180px;margin:0 auto;padding:20px 16px 48px}
        h1{font-size:1.6rem;line-height:1.25;margin:.4em 0}
        h2{font-size:1.25rem;margin:2em 0 .5em}
        h3{font-size:1rem;margin:1.2em 0 .3em}
        p{margin:.4em 0}
        .muted{color:var(--muted);font-size:.9rem}
        .cards,.figures{display:grid;gap:16px;align-items:start}
        .cards{grid-template-columns:repeat(auto-fit,minmax(min(100%,270px),1fr));align-items:stretch}
        .figures{grid-template-columns:repeat(auto-fill,minmax(min(100%,520px),1fr))}
        .card,figure{background:var(--surface);border:1px solid var(--grid);border-radius:8px;padding:14px 16px}
        .card{border-top:5px solid var(--series)}
        .card h2{font-size:1.05rem;margin:0}
        .card .figure strong{font-size:2.2rem;line-height:1.15;font-variant-numeric:tabular-nums}
        .badge{display:inline-block;border-radius:4px;padding:0 6px;font-size:.78em;font-weight:700;
        letter-spacing:.02em;white-space:nowrap}
        .comparisons{list-style:none;padding:0;margin:16px 0}
        .comparisons strong{font-size:1.2rem}
        figure{margin:0;min-width:0}
        figure h3{margin:0}
        figcaption p{color:var(--muted);font-size:.9rem;margin:0}
        .legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;margin:8px 0 4px;padding:0;font-size:.85rem}
        .legend li{display:flex;align-items:center;gap:6px}
        .legend svg{width:28px;height:16px;flex:none}
        .plain{--series:var(--ink)}
        .plot{overflow-x:auto}
        .plot svg{display:block;width:100%;min-width:420px;height:auto}
        svg text{font-size:14px;fill:var(--ink);font-variant-numeric:tabular-nums}
        svg .tick{fill:var(--muted)}
        svg .label{paint-order:stroke;stroke:var(--surface);stroke-width:4px;stroke-linejoin:round}
        .start{text-anchor:start}.middle{text-anchor:middle}.end{text-anchor:end}
        .grid{stroke:var(--grid)}
        .axis{stroke:var(--muted)}
        .solid,.median,.offered,.maximum,.bound{fill:none;stroke:var(--series);stroke-width:2.2;stroke-linejoin:round}
        .median{stroke-width:1.5;stroke-dasharray:5 4;opacity:.75}
        .offered{stroke:var(--muted);stroke-width:1.6}
        .maximum{stroke-width:1.6;stroke-dasharray:2 3}
        .bound{stroke:var(--bound);stroke-width:1.6;stroke-dasharray:9 4}
        .interval{stroke:var(--series);stroke-width:1.4;opacity:.8}
        .full{fill:var(--series);stroke:var(--surface)}
        .stroke{fill:none;stroke:var(--series);stroke-width:3}
        .hollow{fill:var(--surface);stroke:var(--series);stroke-width:2.2}
        .area{fill:var(--series);fill-opacity:.3;stroke:var(--series);stroke-width:1}
        .failed{fill:var(--failure)}
        .touch{fill:transparent}
        .bar{fill:var(--series)}
        .rest{fill:var(--grid)}
        .wide{overflow-x:auto;background:var(--surface);border:1px solid var(--grid);border-radius:8px}
        table{border-collapse:collapse;width:100%;font-size:.8rem;font-variant-numeric:tabular-nums;
        overflow-wrap:normal}
        th,td{padding:4px 7px;border-bottom:1px solid var(--grid);text-align:left;vertical-align:top}
        th{color:var(--muted);font-weight:600;vertical-align:bottom}
        td:first-child{min-width:7em;max-width:14em;overflow-wrap:anywhere}
        td:last-child:not(.number){min-width:12em}
        .number{text-align:right;white-space:nowrap}
        th.group{text-align:center;border-bottom:0;padding-bottom:0}
        th.number{white-space:normal}
        .focus td{font-weight:700}
        tbody tr:last-child td{border-bottom:0}
        dl{display:grid;grid-template-columns:minmax(7em,max-content) 1fr;gap:2px 16px;margin:0;font-size:.95rem}
        dt{color:var(--muted)}
        dd{margin:0}
        @media screen and (max-width:1000px){td:last-child:not(.number){min-width:52em}}
        @media(max-width:600px){main{padding:12px 8px 32px}.card,figure{padding:10px}
        th,td{padding:3px 6px}}
        @media print{:root{font-size:11px}body{background:none;font-size:1rem}main{max-width:none;padding:0}
        figure,.card,dl,tr{break-inside:avoid}h2,h3{break-after:avoid}
        .plot,.wide{overflow:visible}.plot svg{min-width:0}
        .figures{grid-template-columns:1fr 1fr}table{font-size:7.5px}.badge{padding:0 3px}th,td{padding:2px 4px}
        .badge{print-color-adjust:exact;-webkit-print-color-adjust:exact}}

        """
}
