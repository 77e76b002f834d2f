// A model's own way of writing a conversation.

internal import Checkpoint
internal import Jinja

/// The chat template of a model, or the several it has under names.
public struct ChatTemplate: Sendable {
    /// The names: "default", and such as "tool_use" where the model has one for conversations with tools.
    public var names: [String] { variants.map(\.name) }

    /// One template and what it was found to do.
    struct Variant: Sendable {
        var name: String
        var template: Template
        var contentForm: ContentForm
        /// It knows the role.
        var namesDeveloper: Bool
    }

    private let variants: [Variant]
    /// Special tokens by the names templates have for them: `bos_token`.
    let specialTokens: [(name: String, text: [UInt8])]

    /// Reads templates; the error names the template's line.
    ///
    /// - Parameters:
    ///   - sources: each with its name.
    ///   - specialTokens: by their names, as `bos_token`.
    ///   - path: the file they come from, for the error.
    init(
        _ sources: [(name: String, text: String)], specialTokens: [(name: String, text: [UInt8])], path: String
    ) throws(TokenizerError) {
        self.specialTokens = specialTokens
        var variants: [Variant] = []
        for (name, text) in sources {
            do throws(TemplateError) {
                let template = try Template(text)
                variants.append(
                    Variant(
                        name: name, template: template,
                        contentForm: ContentForm(of: template, specialTokens: specialTokens),
                        namesDeveloper: text.contains("developer")))
            } catch {
                throw TokenizerError(
                    path: path, place: sources.count == 1 ? "chat_template" : "chat_template \"\(name)\"",
                    problem: "\(error)", fix: "mend the template, or send the conversation as a text to /v1/completions"
                )
            }
        }
        self.variants = variants
    }

    /// The one for a conversation, chosen as transformers does.
    func variant(withTools: Bool) throws(TokenizerError) -> Variant {
        if variants.count == 1, let only = variants.first, only.name == "default" { return only }
        if withTools, let tools = variants.first(where: { $0.name == "tool_use" }) { return tools }
        guard let plain = variants.first(where: { $0.name == "default" }) else {
            throw .chat(
                "chat_template", "the model has the templates \(names.sorted().joined(separator: ", ")), none for this",
                fix: "send the conversation as a text to /v1/completions")
        }
        return plain
    }
}

/// What a template takes a message's content to be.
enum ContentForm: Sendable {
    /// A string; parts are joined to one.
    case text
    /// A list of parts; a string becomes one part.
    case parts
    /// Either.
    case both

    /// Finds out by trying: what comes out wrong is not in the template's form.
    init(of template: Template, specialTokens: [(name: String, text: [UInt8])]) {
        let probe = "probe of contents"
        func shows(_ content: JSON) -> Bool {
            let message = ChatMessage(members: [("role", .text("user")), ("content", content)])
            guard let value = try? message.value(owner: 0), let messages = try? Value.array([value]),
                let text = try? template.render(
                    ChatVariables.special(specialTokens) + [
                        ("messages", messages), ("tools", .none), ("documents", .none),
                        ("add_generation_prompt", .boolean(false)),
                    ], limits: Limits(steps: 200_000))
            else { return false }
            // The list itself, written out, shows what its parts are called.
            let written = text.description
            return written.contains(probe) && !written.contains("'type'") && !written.contains("\"type\"")
        }
        let part = JSON.object([(Array("type".utf8), .text("text")), (Array("text".utf8), .text(probe))])
        self = !shows(.array([part])) ? .text : shows(.text(probe)) ? .both : .parts
    }
}

/// The variables that are no part of the conversation.
enum ChatVariables {
    /// Special tokens, which are the template's own words.
    static func special(_ tokens: [(name: String, text: [UInt8])]) -> [(String, Value)] {
        tokens.map { ($0.name, .text(Text($0.text))) }
    }
}
