using System.Text.Json;

namespace Calico.Core.Cni;

/// <summary>
/// The few keys of a network configuration that decide whether the call makes sense at all, read in one pass without
/// a serializer: the shim looks at nothing else. Key names match without regard to case, as Go's decoder does it.
/// </summary>
public sealed record CniConfigHeader
{
    /// <summary>Longest configuration that is read, in bytes: it must fit a frame beside the environment.</summary>
    public const int MaxLength = CniFrame.MaxBodyLength - (64 << 10);

    public CniVersion Version { get; private set; } = CniVersion.Unspecified;
    public string Name { get; private set; } = "";
    public string Type { get; private set; } = "";

    /// <summary><c>node_socket</c>: where the node listens, if not at the default place.</summary>
    public string? NodeSocket { get; private set; }

    /// <summary><c>ipam.type</c>: another than Calico's own is a program that the shim executes.</summary>
    public string IpamType { get; private set; } = "";

    /// <summary>Addresses come from somebody else's program.</summary>
    public bool HasForeignIpam => IpamType is not ("" or CniIpamConfig.CalicoType);

    /// <summary>Decodes and validates for a command; the error has the specification's code.</summary>
    public static bool TryRead(ReadOnlySpan<byte> json, CniCommand command, out CniConfigHeader header, out CniError? error)
    {
        header = new CniConfigHeader();
        error = header.Decode(json) ?? header.Check(command);
        return error is null;
    }

    private CniError? Decode(ReadOnlySpan<byte> json)
    {
        var versionText = "";
        try
        {
            var reader = new Utf8JsonReader(json);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return Undecodable("it is not a JSON object");
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var key = KeyOf(ref reader);
                reader.Read();
                if (key == "ipam" && reader.TokenType == JsonTokenType.StartObject)
                {
                    ReadIpam(ref reader);
                    continue;
                }
                if (key is "" or "ipam")
                {
                    reader.Skip();
                    continue;
                }
                if (reader.TokenType == JsonTokenType.Null)
                    continue;
                if (reader.TokenType != JsonTokenType.String)
                    return Undecodable($"'{key}' is not a string");
                var value = reader.GetString()!;
                switch (key)
                {
                    case "cniVersion": versionText = value; break;
                    case "name": Name = value; break;
                    case "type": Type = value; break;
                    default: NodeSocket = value; break;
                }
            }
            // Whatever follows the object: the reader refuses it.
            reader.Read();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return Undecodable(Position(e));
        }
        if (versionText.Length == 0)
            return null;
        if (!CniVersion.TryParse(versionText, out var version))
            return Undecodable($"cniVersion '{versionText}' is not a version");
        Version = version;
        return null;
    }

    // What else is in it is the node's business, or the other program's.
    private void ReadIpam(ref Utf8JsonReader reader)
    {
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isType = KeyOf(ref reader) == "type";
            reader.Read();
            if (isType && reader.TokenType == JsonTokenType.String)
                IpamType = reader.GetString()!;
            else
                reader.Skip();
        }
    }

    // Compares without regard to case and without allocating for the many keys of no interest.
    private static string KeyOf(ref Utf8JsonReader reader)
    {
        var length = reader.ValueSpan.Length;
        if (length is not (4 or 10 or 11) || reader.ValueIsEscaped)
            return "";
        Span<char> name = stackalloc char[11];
        name = name[..reader.CopyString(name)];
        string[] known = ["name", "type", "ipam", "cniVersion", "node_socket"];
        foreach (var candidate in known)
        {
            if (name.Equals(candidate, StringComparison.OrdinalIgnoreCase))
                return candidate;
        }
        return "";
    }

    private CniError? Check(CniCommand command)
    {
        if (Name.Length == 0)
            return new CniError(CniErrorCode.InvalidConfig, "missing network name");
        if (!CniInvocation.IsIdentifier(Name))
            return new CniError(CniErrorCode.InvalidConfig,
                $"network name '{Name}' must start with a letter or digit and contain only letters, digits, '_', '.' and '-'");
        if (!Version.IsSupported)
            return new CniError(CniErrorCode.IncompatibleVersion, "incompatible CNI versions",
                $"the network configuration wants {Version}; this plugin supports {CniVersion.SupportedText()}");
        return Version >= command.Since()
            ? null
            : new CniError(CniErrorCode.IncompatibleVersion, $"config version does not allow {command.ToText()}",
                $"{command.ToText()} came with CNI {command.Since()}, the network configuration says {Version}");
    }

    private static CniError Undecodable(string why) =>
        new(CniErrorCode.DecodeFailure, $"cannot decode the network configuration: {why}");

    private static string Position(Exception e) => e is JsonException { LineNumber: { } line, BytePositionInLine: { } at }
        ? $"malformed JSON at line {line + 1}, byte {at + 1}"
        : "malformed JSON";
}
