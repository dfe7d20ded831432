package import Domain
package import OutboundHTTP

extension WebhookURLRule {
    /// URLs that a client with this policy sends to. What a host's name leads to is looked at when something is sent, each time.
    package static func allowed(by policy: EgressPolicy) -> WebhookURLRule {
        WebhookURLRule { text in
            do throws(OutboundFailure) {
                try policy.check(OutboundURL(text))
                return nil
            } catch {
                return switch error.code {
                case .schemeForbidden: "must begin with https://"
                case .portForbidden: "must have the port 443, or one from 1024 to 65535"
                case .addressForbidden: "must be a public host"
                default: error.detail
                }
            }
        }
    }
}
