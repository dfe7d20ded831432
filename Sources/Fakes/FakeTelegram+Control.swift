import Foundation
import Synchronization

/// The other side of the fake, for people with curl: what somebody in a chat does and sees.
///
///     POST /control/say     {"chat": 1, "text": "/start …", "name": "Siti", "language": "id"}
///     POST /control/press   {"chat": 1, "message": 4, "button": 1}       the first button, from left to right and top to bottom
///     GET  /control/messages?chat=1                                     what the bot wrote
///     GET  /control/complaints                                          what the documentation does not allow
extension FakeTelegram {
    func control(_ request: FakeRequest) -> FakeAnswer {
        let fields = request.object ?? [:]
        let chat = Self.number(fields["chat"]).map {
            Chat($0, name: fields["name"] as? String ?? "Siti", language: fields["language"] as? String ?? "en")
        }
        switch (request.method, request.path.split(separator: "?").first ?? "") {
        case ("POST", "/control/say"):
            guard let chat, let text = fields["text"] as? String else { return .json(400, ["error": "chat and text are needed"]) }
            return .json(200, ["update": say(text, in: chat)])
        case ("POST", "/control/press"):
            guard let chat, let id = Self.number(fields["message"]), let button = Self.number(fields["button"]),
                let message = messages(in: chat.id).first(where: { $0.id == id }), message.data.indices.contains(Int(button) - 1)
            else { return .json(400, ["error": "chat, message and button are needed"]) }
            return .json(200, ["update": press(message.data[Int(button) - 1], under: message, in: chat)])
        case ("POST", "/control/block"):
            guard let chat else { return .json(400, ["error": "chat is needed"]) }
            block(chat)
            return .json(200, ["blocked": chat.id])
        case ("GET", "/control/messages"):
            let wanted = request.path.split(separator: "=").last.flatMap { Int64($0) }
            let all = state.withLock { state in state.messages.values.joined().filter { wanted == nil || $0.chat == wanted } }
            return .json(
                200,
                [
                    "messages": all.sorted { $0.id < $1.id }.map {
                        ["message": $0.id, "chat": $0.chat, "text": FakeTelegramHTML.plain($0.html) ?? $0.html, "buttons": $0.buttons]
                    }
                ])
        case ("GET", "/control/complaints"): return .json(200, ["complaints": complaints])
        default: return .json(404, ["error": "there is no such control"])
        }
    }
}
