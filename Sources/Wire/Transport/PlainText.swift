// Links that others can read are said to be, for as long as they are.

package import Logging

extension SocketLoop {
    /// Warns now and each minute, where an edge without keys can be reached from other hosts. On the loop's thread.
    package func warnOfPlainText(at edges: [Endpoint], hasKeys: Bool, logger: Logger) {
        guard !hasKeys, let open = edges.first(where: { !$0.isLocal }) else { return }
        let warn = {
            logger.warning(
                "links are plain text: whoever reaches them can read prompts, join and forge answers",
                metadata: ["endpoint": "\(open)", "fix": "give the cluster keys (winnow keys new)"])
        }
        warn()
        every(.seconds(60), warn)
    }
}
