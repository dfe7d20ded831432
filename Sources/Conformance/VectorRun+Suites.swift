extension VectorRun {
    /// Every kind of file we know. A folder may hold any subset of them.
    package static let suites: [any VectorSuite.Type] = [
        BinaryNodeVectors.self,
        CertificateVectors.self,
        ClientPayloadVectors.self,
        HKDFVectors.self,
        MediaVectors.self,
        MessageIDVectors.self,
        MessageVectors.self,
        NoiseVectors.self,
        PairCodeVectors.self,
        PairingVectors.self,
        ParticipantHashVectors.self,
        RatchetVectors.self,
        SenderKeyVectors.self,
        XEdDSAVectors.self,
    ]
}
