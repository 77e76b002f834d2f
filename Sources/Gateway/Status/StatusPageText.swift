// The status page's document and icon.

extension StatusPage {
    static let html = #"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>Winnow</title>
        <link rel="icon" href="status/icon.svg" type="image/svg+xml">
        <link rel="stylesheet" href="status/page.css">
        <script src="status/picture.js" defer></script>
        <script src="status/charts.js" defer></script>
        <script src="status/page.js" defer></script>
        </head>
        <body>
        <a class="skip" href="#main">To the content</a>
        <header>
          <h1>Winnow <span id="model"></span></h1>
          <p id="state" class="state" role="status">connecting</p>
          <button id="pause" type="button" aria-pressed="false">Pause</button>
        </header>
        <main id="main" tabindex="-1">
          <noscript><p>This page needs JavaScript. <a href="status">The same as JSON</a>; or <code>winnow status URL</code>.</p></noscript>
          <section aria-labelledby="now-title">
            <h2 id="now-title">Now</h2>
            <dl id="now" class="figures"></dl>
          </section>
          <section aria-labelledby="pipelines-title">
            <h2 id="pipelines-title">Pipelines</h2>
            <div id="pipelines"></div>
            <ul id="others" class="chips" aria-label="Speculators and spare workers"></ul>
          </section>
          <section aria-labelledby="history-title">
            <h2 id="history-title">Last ten minutes</h2>
            <div id="charts" class="charts"></div>
          </section>
          <section aria-labelledby="faults-title">
            <h2 id="faults-title">Faults of the last hour</h2>
            <p id="no-faults">None.</p>
            <ul id="faults" class="faults"></ul>
          </section>
          <section aria-labelledby="requests-title">
            <h2 id="requests-title">Last requests</h2>
            <p id="no-requests">None yet.</p>
            <table id="requests" role="table" aria-labelledby="requests-title" hidden>
              <thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">request</th><th role="columnheader" scope="col">state</th><th role="columnheader" scope="col">prompt</th><th role="columnheader" scope="col">kept of it, from beginning to end</th><th role="columnheader" scope="col">answer</th><th role="columnheader" scope="col">first token</th><th role="columnheader" scope="col">in all</th></tr></thead>
              <tbody role="rowgroup"></tbody>
            </table>
          </section>
        </main>
        <footer><p><span id="release"></span> The same as <a href="status">JSON</a>. <a href="metrics">Metrics</a>.</p></footer>
        </body>
        </html>

        """#

    /// Three ears of four are chaff.
    static let icon = #"""
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#1d6b4f"/><path d="M3 4h2v8H3zM7 4h2v8H7z" fill="#5b9c83"/><path d="M11 4h2v8h-2z" fill="#fff"/></svg>

        """#
}
