/// What a media file is; chooses how its keys are derived (protocol.md 13.2).
package enum MediaKind: String, Sendable, CaseIterable {
    case image, sticker, video, audio, document
    case linkThumbnail = "link-thumbnail"
    case imageThumbnail = "image-thumbnail"
    case videoThumbnail = "video-thumbnail"
    case documentThumbnail = "document-thumbnail"
    case stickerPack = "sticker-pack"
    /// Only received: parts of the phone's history.
    case history
    /// Only received: application state.
    case appState = "app-state"

    /// The text that separates the keys of one kind from those of another.
    package var info: String {
        switch self {
        case .image, .sticker: "WhatsApp Image Keys"
        case .video: "WhatsApp Video Keys"
        case .audio: "WhatsApp Audio Keys"
        case .document: "WhatsApp Document Keys"
        case .linkThumbnail: "WhatsApp Link Thumbnail Keys"
        case .imageThumbnail: "WhatsApp Image Thumbnail Keys"
        case .videoThumbnail: "WhatsApp Video Thumbnail Keys"
        case .documentThumbnail: "WhatsApp Document Thumbnail Keys"
        case .stickerPack: "WhatsApp Sticker Pack Keys"
        case .history: "WhatsApp History Keys"
        case .appState: "WhatsApp App State Keys"
        }
    }

    /// The path element of upload and download addresses; nil where protocol.md 13.2 knows none for sure.
    package var pathType: String? {
        switch self {
        case .image, .sticker: "image"
        case .video: "video"
        case .audio: "audio"
        case .document: "document"
        case .linkThumbnail: "thumbnail-link"
        case .stickerPack: "sticker-pack"
        case .history: "md-msg-hist"
        case .appState: "md-app-state"
        case .imageThumbnail, .videoThumbnail, .documentThumbnail: nil
        }
    }
}
