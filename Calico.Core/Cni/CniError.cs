using System.Buffers;
using System.Text.Json;

namespace Calico.Core.Cni;

/// <summary>The error codes of the CNI specification; 100 and above are a plugin's own.</summary>
public enum CniErrorCode : uint
{
    IncompatibleVersion = 1,

    /// <summary>The container is unknown: the runtime need not clean up after it.</summary>
    UnknownContainer = 3,
    InvalidEnvironment = 4,
    IoFailure = 5,
    DecodeFailure = 6,
    InvalidConfig = 7,
    InvalidNetns = 8,

    /// <summary>The runtime repeats the call: the one code that is not final.</summary>
    TryAgainLater = 11,

    /// <summary>STATUS: an ADD would fail now.</summary>
    NotAvailable = 50,

    Internal = 999,
}

/// <summary>
/// A failed call as the runtime sees it: <paramref name="Message"/> says what was tried on what and what happened,
/// <paramref name="Details"/> what to do about it.
/// </summary>
public sealed record CniError(CniErrorCode Code, string Message, string Details = "")
{
    /// <summary>The error object of the specification, for standard output.</summary>
    public byte[] ToBytes(CniVersion version)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("cniVersion"u8, version.ToString());
            json.WriteNumber("code"u8, (uint)Code);
            json.WriteString("msg"u8, Message);
            if (Details.Length > 0)
                json.WriteString("details"u8, Details);
            json.WriteEndObject();
        }
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The answer to a call that failed with this error: exit status 1, the object on standard output.</summary>
    public CniReply ToReply(CniVersion version) => new(1, ToBytes(version));
}
