// How long a text may be before anybody counts its tokens.

import Coordinator
import Tokenizer

/// The bytes that a context can hold at most. A token stands for no more bytes than the longest of the vocabulary, so a
/// longer text has more tokens than fit, whatever they are.
enum PromptBounds {
    /// Bytes of a request that are not its text: the other fields, the marks of JSON, several prompts in one.
    private static let otherBytes = 4 << 20
    /// Bytes that JSON may spend on one byte of text: `\u0061`.
    private static let escapedBytes = 6

    /// Bytes of text that a template may write for each byte of the body it comes from, how many it may write of its own,
    /// and how many at most.
    private static let (writtenBytes, ownBytes, mostBytes) = (8, 1 << 20, 32 << 20)

    /// The most bytes of UTF-8 that fit the context of `service`.
    static func textBytes(_ service: any GenerationService) -> Int {
        let (bytes, overflow) = service.contextLength.multipliedReportingOverflow(by: service.tokenizer.longestToken)
        return overflow ? .max : bytes
    }

    /// The most bytes of a request body that can be of use.
    static func bodyBytes(_ service: any GenerationService) -> Int {
        let (escaped, overflow) = textBytes(service).multipliedReportingOverflow(by: escapedBytes)
        let (bytes, overflows) = escaped.addingReportingOverflow(otherBytes)
        return overflow || overflows ? .max : bytes
    }

    /// The most bytes of a conversation as its template writes it, from a body of `body` bytes: what a template repeats
    /// costs memory that no body has paid for.
    static func renderedBytes(body: Int) -> Int {
        min(mostBytes, ownBytes + writtenBytes * min(body, mostBytes / writtenBytes))
    }

    /// Throws when a text of so many bytes, the request's `field`, has more tokens than the context.
    static func check(bytes: Int, field: String, for service: any GenerationService) throws(APIError) {
        let most = textBytes(service)
        guard bytes > most else { return }
        throw .invalid(
            field,
            "The model's context is \(service.contextLength) tokens, at most \(most) bytes of text; '\(field)' has \(bytes) bytes.",
            code: "context_length_exceeded")
    }
}
