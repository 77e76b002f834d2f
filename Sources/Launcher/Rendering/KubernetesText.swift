// Words as Kubernetes and YAML read them back.

enum KubernetesText {
    /// A word that Kubernetes leaves as it is: `$(` begins a variable.
    static func literal(_ word: String) -> String { word.replacing("$(", with: "$$(") }

    /// A YAML value in double quotes, so that it can't be read as something else.
    static func quoted(_ value: String) -> String {
        var quoted = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16, uppercase: true)
                quoted += "\\x" + (digits.count == 1 ? "0" : "") + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return "\"\(quoted)\""
    }
}
