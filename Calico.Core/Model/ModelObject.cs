using System.Text.Json;
using System.Text.Json.Serialization;

namespace Calico.Core.Model;

/// <summary>
/// The base of every object in the model: fields that this release does not know are kept and written back, so that an
/// older client never strips what a newer one stored.
/// </summary>
public abstract record ModelObject
{
    /// <summary>Unknown fields by name, or null when there are none.</summary>
    [JsonExtensionData]
    [JsonInclude]
    public Dictionary<string, JsonElement>? Unknown { get; internal set; }

    public virtual bool Equals(ModelObject? other) =>
        other is not null && EqualityContract == other.EqualityContract && SameUnknown(Unknown, other.Unknown);

    public override int GetHashCode() => HashCode.Combine(EqualityContract, Unknown?.Count ?? 0);

    private static bool SameUnknown(Dictionary<string, JsonElement>? a, Dictionary<string, JsonElement>? b) =>
        (a?.Count ?? 0) == (b?.Count ?? 0)
        && (a is null || a.All(e => b!.TryGetValue(e.Key, out var v) && JsonElement.DeepEquals(e.Value, v)));
}
