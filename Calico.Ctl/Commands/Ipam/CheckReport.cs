using System.Buffers;
using System.Collections.Immutable;
using System.Text.Encodings.Web;
using System.Text.Json;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>An allocation in a report: as much of it as a release needs.</summary>
internal sealed record ReportedAllocation(IpAddr Address, string? Handle, ulong? SequenceNumber, bool IsInUse, bool IsCoolingDown);

/// <summary>A handle that no block mentions, at the revision at which that was so.</summary>
internal sealed record ReportedHandle(string Id, string Revision);

/// <summary>
/// The file between <c>ipam check -o</c> and <c>ipam release --from-report</c>, in the form of Calico's own, so that
/// either tool reads the other's.
/// </summary>
internal sealed record CheckReport
{
    /// <summary>A report of a cluster with a million addresses has half of this.</summary>
    private const long MaxBytes = 1L << 30;

    private static readonly JsonWriterOptions Indented = new() { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public required string Version { get; init; }
    public required string ClusterGuid { get; init; }

    /// <summary>Of the cluster information: locking the datastore changes it.</summary>
    public required string ClusterInfoRevision { get; init; }

    public bool IsDatastoreLocked { get; init; }
    public string ClusterType { get; init; } = "";
    public required ImmutableArray<ReportedAllocation> Allocations { get; init; }
    public required ImmutableArray<ReportedHandle> LeakedHandles { get; init; }

    /// <summary>What is only in a report that was just made; a reader has no use for it.</summary>
    private ImmutableArray<CheckedAllocation> Details { get; init; } = [];

    public static CheckReport Of(ClusterInformation cluster, IpamFindings findings) => new()
    {
        Version = ProgramVersion.Own,
        ClusterGuid = cluster.Spec.ClusterGuid ?? "",
        ClusterInfoRevision = cluster.Metadata.ResourceVersion ?? "",
        ClusterType = cluster.Spec.ClusterType ?? "",
        IsDatastoreLocked = cluster.Spec.DatastoreReady == false,
        Allocations = [.. findings.Allocations.Select(a => new ReportedAllocation(a.Address, a.Handle, a.SequenceNumber, a.IsInUse, a.IsCoolingDown))],
        LeakedHandles = [.. findings.LeakedHandles.Select(h => new ReportedHandle(h.Id, FormattableString.Invariant($"{h.Revision}")))],
        Details = findings.Allocations,
    };

    public byte[] ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Indented))
            Write(json);
        return buffer.WrittenSpan.ToArray();
    }

    /// <exception cref="CtlException">The file cannot be read or is no report.</exception>
    public static CheckReport Load(string path)
    {
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > MaxBytes })
                throw new CtlException($"{path} is larger than a report can be");
            using var document = JsonDocument.Parse(File.ReadAllBytes(path));
            return Read(document.RootElement);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CtlException($"cannot read the report {path}: {e.Message}", e);
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException or KeyNotFoundException)
        {
            throw new CtlException($"{path} is not a report of 'calicoctl ipam check -o': {Describe(e)}", e);
        }
    }

    private static string Describe(Exception failure) => failure switch
    {
        JsonException e => FormattableString.Invariant($"malformed JSON at line {(e.LineNumber ?? 0) + 1}, byte {(e.BytePositionInLine ?? 0) + 1}"),
        FormatException e => e.Message,
        _ => "a field of a report is missing or has the wrong type",
    };

    private void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("version", Version);
        json.WriteString("clusterGUID", ClusterGuid);
        json.WriteBoolean("datastoreLocked", IsDatastoreLocked);
        json.WriteString("clusterInformationRevision", ClusterInfoRevision);
        json.WriteString("clusterType", ClusterType);
        json.WriteStartObject("allocations");
        foreach (var group in Details.GroupBy(a => a.Address.ToString()).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            json.WriteStartArray(group.Key);
            foreach (var allocation in group)
                Write(json, allocation);
            json.WriteEndArray();
        }
        json.WriteEndObject();
        if (!LeakedHandles.IsEmpty)
        {
            json.WriteStartArray("leakedHandles");
            foreach (var handle in LeakedHandles)
            {
                json.WriteStartObject();
                json.WriteString("ID", handle.Id);
                json.WriteNull("UID");
                json.WriteString("Revision", handle.Revision);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, CheckedAllocation allocation)
    {
        json.WriteStartObject();
        json.WriteString("ip", allocation.Address.ToString());
        Text("handle", allocation.Handle);
        json.WriteNumber("sequenceNumber", allocation.SequenceNumber);
        Text("pod", allocation.Owner["pod"]);
        Text("namespace", allocation.Owner["namespace"]);
        Text("node", allocation.Node);
        Text("type", allocation.Owner["type"]);
        Text("creationTimestamp", allocation.Owner["timestamp"]);
        json.WriteBoolean("inUse", allocation.IsInUse);
        if (allocation.IsBorrowed)
            json.WriteBoolean("borrowed", true);
        if (allocation.IsCoolingDown)
            json.WriteBoolean("coolingDown", true);
        if (allocation.Users.IsEmpty)
        {
            json.WriteNull("owners");
        }
        else
        {
            json.WriteStartArray("owners");
            foreach (var user in allocation.Users)
                json.WriteStringValue(user);
            json.WriteEndArray();
        }
        json.WriteEndObject();

        void Text(string name, string? value)
        {
            if (!string.IsNullOrEmpty(value))
                json.WriteString(name, value);
        }
    }

    private static CheckReport Read(JsonElement root) => new()
    {
        Version = root.GetProperty("version").GetString() ?? "",
        ClusterGuid = root.GetProperty("clusterGUID").GetString() ?? "",
        ClusterInfoRevision = root.GetProperty("clusterInformationRevision").GetString() ?? "",
        ClusterType = root.GetProperty("clusterType").GetString() ?? "",
        IsDatastoreLocked = root.GetProperty("datastoreLocked").GetBoolean(),
        Allocations = root.GetProperty("allocations") is { ValueKind: JsonValueKind.Object } allocations
            ? [.. allocations.EnumerateObject().SelectMany(a => a.Value.EnumerateArray()).Select(ReadAllocation)]
            : [],
        LeakedHandles = root.TryGetProperty("leakedHandles", out var handles) && handles.ValueKind == JsonValueKind.Array
            ? [.. handles.EnumerateArray().Select(h => new ReportedHandle(h.GetProperty("ID").GetString() ?? "", h.GetProperty("Revision").GetString() ?? ""))]
            : [],
    };

    private static ReportedAllocation ReadAllocation(JsonElement json) => new(
        IpAddr.Parse(json.GetProperty("ip").GetString()),
        json.TryGetProperty("handle", out var handle) ? handle.GetString() : null,
        json.TryGetProperty("sequenceNumber", out var sequence) && sequence.ValueKind != JsonValueKind.Null ? sequence.GetUInt64() : null,
        json.GetProperty("inUse").GetBoolean(),
        json.TryGetProperty("coolingDown", out var cooling) && cooling.GetBoolean());
}
