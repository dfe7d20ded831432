package import Foundation

/// What happened in a chat. Only what we act on is read; the rest of an update may have any shape.
/// (core.telegram.org/bots/api#update, #message, #callbackquery, #chatmemberupdated)
package struct TelegramUpdate: Sendable, Identifiable {
    package enum Event: Sendable {
        case message(Message)
        case press(Press)
        /// What became of the bot in a chat.
        case membership(Membership)
        case other
    }

    package let id: Int64
    package let event: Event

    /// The kinds that we ask for.
    static let kinds = ["message", "callback_query", "my_chat_member"]

    /// Reads one update. nil: it is none, since it has no `update_id`.
    package init?(json: [UInt8]) {
        guard let draft = try? JSONDecoder().decode(Draft.self, from: Data(json)) else { return nil }
        self.init(draft)
    }

    package struct Chat: Sendable, Hashable, Decodable {
        package enum Kind: String, Sendable { case `private`, group, supergroup, channel, unknown }

        package let id: Int64
        let type: String?
        package let title: String?
        let firstName: String?
        let lastName: String?
        package let username: String?

        enum CodingKeys: String, CodingKey {
            case id, type, title, username
            case firstName = "first_name"
            case lastName = "last_name"
        }

        package var kind: Kind { type.flatMap(Kind.init) ?? .unknown }
        /// For people, at most 128 characters: the group's title, or the name of the person.
        package var name: String {
            let name = title ?? [firstName, lastName].compactMap { $0 }.joined(separator: " ")
            return String((name.isEmpty ? username.map { "@" + $0 } ?? "" : name).prefix(128))
        }
    }

    package struct User: Sendable, Hashable, Decodable {
        package let id: Int64
        package let isBot: Bool?
        let firstName: String?
        let lastName: String?
        package let username: String?
        /// An IETF language tag, as the person's app has it.
        package let languageCode: String?

        enum CodingKeys: String, CodingKey {
            case id, username
            case isBot = "is_bot"
            case firstName = "first_name"
            case lastName = "last_name"
            case languageCode = "language_code"
        }

        /// For people, at most 128 characters.
        package var name: String {
            let name = [firstName, lastName].compactMap { $0 }.joined(separator: " ")
            return String((name.isEmpty ? username.map { "@" + $0 } ?? "" : name).prefix(128))
        }
    }

    package struct Message: Sendable, Decodable {
        package let id: Int64
        package let chat: Chat
        package let from: User?
        package let text: String?
        /// A service message in the old group.
        package let migratedTo: Int64?

        enum CodingKeys: String, CodingKey {
            case chat, from, text
            case id = "message_id"
            case migratedTo = "migrate_to_chat_id"
        }
    }

    /// A button of ours was pressed.
    package struct Press: Sendable, Decodable {
        package struct Place: Sendable, Decodable {
            package let id: Int64
            package let chat: Chat

            enum CodingKeys: String, CodingKey {
                case chat
                case id = "message_id"
            }
        }

        package let id: String
        package let from: User
        package let message: Place?
        package let data: String?
    }

    package struct Membership: Sendable, Decodable {
        struct Member: Sendable, Decodable { let status: String }

        package let chat: Chat
        let member: Member

        enum CodingKeys: String, CodingKey {
            case chat
            case member = "new_chat_member"
        }

        /// Whether the bot can write there no more. (core.telegram.org/bots/api#chatmember)
        package var isGone: Bool { member.status == "kicked" || member.status == "left" }
    }
}

extension TelegramUpdate {
    /// What is readable of an update: a part of another shape is as if it were not there.
    struct Draft: Decodable {
        let id: Int64
        let message: Message?
        let press: Press?
        let membership: Membership?

        enum CodingKeys: String, CodingKey {
            case message
            case id = "update_id"
            case press = "callback_query"
            case membership = "my_chat_member"
        }

        init(from decoder: any Decoder) throws {
            let fields = try decoder.container(keyedBy: CodingKeys.self)
            id = try fields.decode(Int64.self, forKey: .id)
            message = try? fields.decodeIfPresent(Message.self, forKey: .message)
            press = try? fields.decodeIfPresent(Press.self, forKey: .press)
            membership = try? fields.decodeIfPresent(Membership.self, forKey: .membership)
        }
    }

    init(_ draft: Draft) {
        id = draft.id
        if let message = draft.message {
            event = .message(message)
        } else if let press = draft.press {
            event = .press(press)
        } else if let membership = draft.membership {
            event = .membership(membership)
        } else {
            event = .other
        }
    }
}
