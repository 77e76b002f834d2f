/// Files of a model directory that go with the weights and stay as they are when these change their form.
enum CompanionFiles {
    /// What a text needs on its way to tokens and back, and which tokens end it.
    static let text = [
        "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json",
    ]
    /// What goes wherever weights go.
    static let legal = ["LICENSE"]
    static let all = text + legal
}
