import Foundation

/// A self-signed certificate for localhost and 127.0.0.1, valid until 2126. It secures nothing but these tests.
enum TestCertificate {
    static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBnDCCAUGgAwIBAgIUNFt9D/Lm6O82XOY3N6+R3p3hKqAwCgYIKoZIzj0EAwIw
        FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTEwMjMxMFoYDzIxMjYxMDI4
        MTAyMzEwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
        PQMBBwNCAATuGUm3f1n6QiamE5fpi0xPucsEJqELLlqwT+wLn6CS4xXPrLoMzlG6
        Ca2hEvO7TWeJemhvIEX0xOGurqC4rE+8o28wbTAdBgNVHQ4EFgQUTh0dnSwYi/aa
        ndO7C1I3LcI0iNQwHwYDVR0jBBgwFoAUTh0dnSwYi/aandO7C1I3LcI0iNQwDwYD
        VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
        zj0EAwIDSQAwRgIhAN1jwhLb3CbgpAzNPWlNVkX1vdH4Fv+aw3jINvsxGReXAiEA
        2vJXFuCzyGTFRwuCTzghxDsQonwks8wFL0JCdpwi/kM=
        -----END CERTIFICATE-----
        """

    static let privateKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg61nX/KSno2RpeWZT
        mZvXadQieeLKJOZDa2TPKkEkjuyhRANCAATuGUm3f1n6QiamE5fpi0xPucsEJqEL
        LlqwT+wLn6CS4xXPrLoMzlG6Ca2hEvO7TWeJemhvIEX0xOGurqC4rE+8
        -----END PRIVATE KEY-----
        """

    /// Writes both into a folder of their own, which the caller removes.
    static func write() throws -> (folder: URL, certificate: String, privateKey: String) {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("certificate-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let certificateFile = folder.appendingPathComponent("certificate.pem")
        let keyFile = folder.appendingPathComponent("key.pem")
        try Data(certificate.utf8).write(to: certificateFile)
        try Data(privateKey.utf8).write(to: keyFile)
        return (folder, certificateFile.path, keyFile.path)
    }
}
