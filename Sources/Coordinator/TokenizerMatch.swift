package import Checkpoint
package import Tokenizer

/// Whether a tokenizer belongs to a model, and two models to each other.
package enum TokenizerMatch {
    /// Finds a tokenizer of another model as far as files can tell: by its size and its BOS token.
    ///
    /// - Throws: `CoordinatorError.model`.
    package static func check(
        _ tokenizer: Tokenizer, configuration: ModelConfiguration, directory: String
    ) throws(CoordinatorError) {
        let source = GGUFFile.isFile(directory) ? "its vocabulary" : "tokenizer.json"
        guard tokenizer.vocabularySize <= configuration.vocabularySize else {
            throw .model(
                "\(directory): \(source) has \(tokenizer.vocabularySize) tokens, the model embeds only "
                    + "\(configuration.vocabularySize); this is the tokenizer of another model")
        }
        if let mine = tokenizer.bosToken, let models = configuration.bosToken, mine != models {
            throw .model(
                "\(directory): the tokenizer's BOS token is \(mine), the model's configuration says \(models); "
                    + "this is the tokenizer of another model")
        }
    }

    /// A main model and its speculator must read the same token ids.
    ///
    /// - Throws: `CoordinatorError.model`.
    package static func check(
        pair main: Tokenizer, _ mainDirectory: String, with speculator: Tokenizer, _ directory: String,
        configuration: ModelConfiguration
    ) throws(CoordinatorError) {
        guard main.fingerprint == speculator.fingerprint else {
            throw .model(
                "the speculator \(directory) has another tokenizer than the main model \(mainDirectory); "
                    + "a pair must share one")
        }
        try check(speculator, configuration: configuration, directory: directory)
    }
}
