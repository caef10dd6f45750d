using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text.Json;
using Calico.Core.Net;

namespace Calico.Core.Cni;

/// <summary>The <c>ipam</c> section. For a type other than <c>calico-ipam</c> the node delegates with <see cref="CniNetworkConfig.Json"/>.</summary>
public sealed record CniIpamConfig
{
    public const string CalicoType = "calico-ipam";

    public string Type { get; init; } = "";
    public bool AssignV4 { get; init; } = true;
    public bool AssignV6 { get; init; }

    /// <summary>Pool names or networks; empty means every enabled pool.</summary>
    public ImmutableArray<string> V4Pools { get; init; } = [];
    public ImmutableArray<string> V6Pools { get; init; } = [];
}

/// <summary>A published port, from the runtime's <c>portMappings</c> capability; the WorkloadEndpoint lists it.</summary>
public readonly record struct CniPortMapping(ushort HostPort, ushort ContainerPort, string Protocol, IpAddr? HostIp);

/// <summary>An attachment that GC must keep.</summary>
public readonly record struct CniAttachment(string ContainerId, string InterfaceName);

/// <summary>
/// The network configuration as far as Calico uses it, validated: what is out of range or of the wrong type is an
/// error that names the key. Keys of the datastore client (<c>etcd_*</c>, <c>kubernetes</c>, …) are accepted and
/// ignored, because the node has its own connection.
/// </summary>
public sealed record CniNetworkConfig
{
    public CniVersion Version { get; private init; } = CniVersion.Unspecified;
    public string Name { get; private init; } = "";
    public string Type { get; private init; } = "";
    public CniIpamConfig Ipam { get; private init; } = new();

    // Less is no IPv4, and the kernel makes no such pair.
    private const int LeastMtu = 68;

    /// <summary>Bytes; 0 leaves it to the node.</summary>
    public uint Mtu { get; private init; }
    public int NumQueues { get; private init; } = 1;

    /// <summary><c>nodename</c>; null leaves it to <see cref="NodeNameFile"/>, <see cref="HostName"/> and the node, in this order.</summary>
    public string? NodeName { get; private init; }

    /// <summary><c>nodename_file</c>: a file that holds the node's name.</summary>
    public string? NodeNameFile { get; private init; }

    /// <summary>Calls go on although that file is not there.</summary>
    public bool IsNodeNameFileOptional { get; private init; }

    /// <summary>The deprecated <c>hostname</c>.</summary>
    public string? HostName { get; private init; }

    /// <summary>Where and how much to log of these calls.</summary>
    public CniLogOptions Log { get; private init; } = new();

    /// <summary><c>policy.type</c> is <c>k8s</c>: profiles and labels come from Kubernetes.</summary>
    public bool KubernetesPolicy { get; private init; }
    public bool AllowIpAddrsNoIpam { get; private init; }
    public bool AllowFloatingIps { get; private init; }

    /// <summary>Otherwise forwarding is switched off inside the pod.</summary>
    public bool AllowIpForwarding { get; private init; }
    public bool IncludeDefaultRoutes { get; private init; }
    public bool RequireMtuFile { get; private init; }

    /// <summary><c>device_type</c> is <c>netkit</c>; the node makes veth pairs all the same, and says so once.</summary>
    public bool IsNetkitWanted { get; private init; }
    public ImmutableArray<string> ReadinessGates { get; private init; } = [];
    public TimeSpan PolicySetupTimeout { get; private init; }

    /// <summary>Labels for workloads outside Kubernetes: <c>args.cni.labels</c>, then Mesos' <c>network_info</c>.</summary>
    public FrozenDictionary<string, string> Labels { get; private init; } = FrozenDictionary<string, string>.Empty;
    public ImmutableArray<CniPortMapping> PortMappings { get; private init; } = [];
    public CniDns RuntimeDns { get; private init; } = CniDns.None;

    /// <summary>The result of the plugin before in the chain, or of the ADD that CHECK and DEL are about.</summary>
    public CniResult? PreviousResult { get; private init; }

    /// <summary>GC only; null if the runtime gave none.</summary>
    public ImmutableArray<CniAttachment>? ValidAttachments { get; private init; }

    /// <summary>The document as it came.</summary>
    public ReadOnlyMemory<byte> Json { get; private init; }

    /// <summary>
    /// Decodes (code 6) and validates (code 7); version and name are checked again, the shim is not trusted. The version that the
    /// document asks for is known also where the rest is wrong: it is that of the answer.
    /// </summary>
    public static bool TryParse(ReadOnlyMemory<byte> json, CniCommand command, out CniNetworkConfig config, out CniError? error)
    {
        var isReadable = CniConfigHeader.TryRead(json.Span, command, out var header, out error);
        config = header.Version.IsSupported ? new CniNetworkConfig { Version = header.Version } : new CniNetworkConfig();
        if (!isReadable)
            return false;
        ConfigDto? dto;
        try
        {
            dto = JsonSerializer.Deserialize(json.Span, CniJsonContext.Default.ConfigDto);
        }
        catch (JsonException e)
        {
            error = new CniError(CniErrorCode.DecodeFailure, $"cannot decode the network configuration: {Describe(e)}");
            return false;
        }
        var problems = new List<string>();
        config = Build(dto!, header, problems) with { Json = json };
        error = problems.Count == 0
            ? null
            : new CniError(CniErrorCode.InvalidConfig, $"invalid network configuration '{header.Name}': {string.Join("; ", problems)}");
        return error is null;
    }

    /// <summary>Where a document is wrong, by path. What is no JSON has an exception of the reader inside.</summary>
    internal static string Describe(JsonException e) => e switch
    {
        { InnerException: JsonException } or { Path: null } => $"malformed JSON at line {(e.LineNumber ?? 0) + 1}, byte {(e.BytePositionInLine ?? 0) + 1}",
        { Path: "$" } => "it is not a JSON object",
        // $['cni.dev/valid-attachments'][0].ifname
        _ => $"'{e.Path[1..].Replace("['", ".", StringComparison.Ordinal).Replace("']", "", StringComparison.Ordinal).TrimStart('.')}' has the wrong type",
    };

    private static CniNetworkConfig Build(ConfigDto dto, CniConfigHeader header, List<string> problems) => new()
    {
        Version = header.Version,
        Name = header.Name,
        Type = header.Type,
        Ipam = BuildIpam(dto.Ipam ?? new IpamDto(), problems),
        Mtu = dto.Mtu is { } mtu and not 0 ? (uint)InRange(mtu, LeastMtu, 65535, "mtu", problems) : 0,
        NumQueues = InRange(dto.NumQueues ?? 1, 0, 4096, "num_queues", problems) is var queues and > 0 ? queues : 1,
        NodeName = NotEmpty(dto.NodeName),
        NodeNameFile = NotEmpty(dto.NodeNameFile),
        IsNodeNameFileOptional = dto.NodeNameFileOptional ?? false,
        HostName = NotEmpty(dto.Hostname),
        Log = BuildLog(dto, problems),
        KubernetesPolicy = dto.Policy?.Type == "k8s",
        AllowIpAddrsNoIpam = dto.FeatureControl?.IpAddrsNoIpam ?? false,
        AllowFloatingIps = dto.FeatureControl?.FloatingIps ?? false,
        AllowIpForwarding = dto.ContainerSettings?.AllowIpForwarding ?? false,
        IncludeDefaultRoutes = dto.IncludeDefaultRoutes ?? false,
        RequireMtuFile = dto.RequireMtuFile ?? false,
        IsNetkitWanted = IsNetkit(dto.DeviceType, problems),
        ReadinessGates = Texts(dto.ReadinessGates),
        PolicySetupTimeout = TimeSpan.FromSeconds(
            InRange(dto.PolicySetupTimeoutSeconds ?? 0, 0, 3600, "policy_setup_timeout_seconds", problems)),
        Labels = BuildLabels(dto.Args, problems),
        PortMappings = BuildPortMappings(dto.RuntimeConfig?.PortMappings, problems),
        RuntimeDns = CniResultJson.FromDto(dto.RuntimeConfig?.Dns),
        PreviousResult = BuildPreviousResult(dto.PrevResult, problems),
        ValidAttachments = BuildValidAttachments(dto.ValidAttachments, problems),
    };

    // What the list does not name is removed: an entry that names nothing must not cost the pod that it stands for.
    private static ImmutableArray<CniAttachment>? BuildValidAttachments(List<AttachmentDto?>? dtos, List<string> problems)
    {
        if (dtos is null)
            return null;
        for (var i = 0; i < dtos.Count; i++)
        {
            if (string.IsNullOrEmpty(dtos[i]?.ContainerID) || string.IsNullOrEmpty(dtos[i]?.Ifname))
                problems.Add($"'cni.dev/valid-attachments[{i}]' does not have both 'containerID' and 'ifname'");
        }
        return [.. dtos.Select(a => new CniAttachment(a?.ContainerID ?? "", a?.Ifname ?? ""))];
    }

    // A level that is none counts as info, as it does for Calico: what is logged must not decide about a call.
    private static CniLogOptions BuildLog(ConfigDto dto, List<string> problems) => new()
    {
        Level = dto.LogLevel?.ToLowerInvariant() switch
        {
            "debug" => CniLogLevel.Debug,
            "warning" or "warn" => CniLogLevel.Warning,
            "error" or "fatal" or "panic" => CniLogLevel.Error,
            _ => CniLogLevel.Info,
        },
        Path = NotEmpty(dto.LogFilePath),
        MaxSize = InRange(dto.LogFileMaxSize ?? 0, 0, 1 << 20, "log_file_max_size", problems) is var size and > 0 ? (long)size << 20 : CniLogOptions.DefaultMaxSize,
        MaxAge = TimeSpan.FromDays(InRange(dto.LogFileMaxAge ?? 0, 0, 36_500, "log_file_max_age", problems) is var age and > 0 ? age : CniLogOptions.DefaultMaxAgeDays),
        MaxCount = InRange(dto.LogFileMaxCount ?? 0, 0, 10_000, "log_file_max_count", problems) is var count and > 0 ? count : CniLogOptions.DefaultMaxCount,
    };

    private static CniIpamConfig BuildIpam(IpamDto dto, List<string> problems) => new()
    {
        Type = dto.Type ?? "",
        AssignV4 = ReadFlag(dto.AssignIpv4, true, "ipam.assign_ipv4", problems),
        AssignV6 = ReadFlag(dto.AssignIpv6, false, "ipam.assign_ipv6", problems),
        V4Pools = ReadPools(dto.Ipv4Pools, IpVersion.V4, "ipam.ipv4_pools", problems),
        V6Pools = ReadPools(dto.Ipv6Pools, IpVersion.V6, "ipam.ipv6_pools", problems),
    };

    // Calico compares with the exact text "true" or "false"; anything else cannot be meant.
    private static bool ReadFlag(string? text, bool unset, string key, List<string> problems)
    {
        if (text is not (null or "" or "true" or "false"))
            problems.Add($"'{key}' is \"{text}\" and must be \"true\" or \"false\"");
        return string.IsNullOrEmpty(text) ? unset : text == "true";
    }

    // A pool is named or given as its network; a network of the other family is a mistake worth a sentence.
    private static ImmutableArray<string> ReadPools(List<string?>? pools, IpVersion family, string key, List<string> problems)
    {
        var texts = Texts(pools);
        foreach (var text in texts)
        {
            if (text.Contains('/') && (!Cidr.TryParse(text, out var cidr) || cidr.Version != family))
                problems.Add($"'{key}' has '{text}', which is neither a pool's name nor an IPv{(int)family} network");
        }
        return texts;
    }

    private static FrozenDictionary<string, string> BuildLabels(ArgsDto? args, List<string> problems)
    {
        var labels = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var label in (args?.Mesos?.NetworkInfo?.Labels?.Labels ?? []).Concat(args?.Cni?.Labels ?? []))
        {
            if (string.IsNullOrEmpty(label?.Key))
                problems.Add("a label in 'args' has no key");
            else
                labels[label.Key] = label.Value ?? "";
        }
        return labels.ToFrozenDictionary(StringComparer.Ordinal);
    }

    private static ImmutableArray<CniPortMapping> BuildPortMappings(List<PortMappingDto?>? dtos, List<string> problems)
    {
        var mappings = ImmutableArray.CreateBuilder<CniPortMapping>();
        foreach (var dto in (dtos ?? []).OfType<PortMappingDto>())
        {
            IpAddr? hostIp = null;
            if (!string.IsNullOrEmpty(dto.HostIp))
            {
                if (IpAddr.TryParse(dto.HostIp, out var address))
                    hostIp = address;
                else
                    problems.Add($"'runtimeConfig.portMappings' has the hostIP '{dto.HostIp}', which is not an address");
            }
            mappings.Add(new CniPortMapping(
                (ushort)InRange(dto.HostPort ?? 0, 0, 65535, "runtimeConfig.portMappings.hostPort", problems),
                (ushort)InRange(dto.ContainerPort ?? 0, 0, 65535, "runtimeConfig.portMappings.containerPort", problems),
                NotEmpty(dto.Protocol) ?? "tcp", hostIp));
        }
        return mappings.ToImmutable();
    }

    private static CniResult? BuildPreviousResult(JsonElement? element, List<string> problems)
    {
        if (element is not { ValueKind: not JsonValueKind.Null } json)
            return null;
        if (CniResult.TryParse(JsonMarshal.GetRawUtf8Value(json), out var result, out _, out var why))
            return result;
        problems.Add($"'prevResult': {why}");
        return null;
    }

    private static bool IsNetkit(string? deviceType, List<string> problems)
    {
        if (deviceType is not (null or "" or "veth" or "netkit"))
            problems.Add($"'device_type' is '{deviceType}' and must be veth or netkit");
        return deviceType == "netkit";
    }

    private static int InRange(int value, int low, int high, string key, List<string> problems)
    {
        if (value >= low && value <= high)
            return value;
        problems.Add($"'{key}' is {value} and must be between {low} and {high}");
        return low;
    }

    private static string? NotEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;

    private static ImmutableArray<string> Texts(List<string?>? texts) => texts is null ? [] : [.. texts.OfType<string>()];
}
