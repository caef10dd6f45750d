using System.Text.Json.Serialization;

namespace Calico.Core.Model.Resources;

// The resources of projectcalico.org/v3 as users, the datastore and the API exchange them:
//
//   YAML/JSON --ResourceCodec.ParseStrict--> Resource --Validation--> ok or field errors
//   stored bytes --ResourceCodec.Decode----> Resource --ResourceCodec.Encode--> the bytes that Go would write
//
// A record's property order is the field order on the wire, its attributes are the limits of single fields
// (Schema/Constraints.cs), and its name in JSON is its name here in camel case. Fields that are absent are null, empty
// or zero and are not written, but for those that Go writes when they are empty, such as a status; fields that this
// release does not know stay in ModelObject.Unknown.

/// <summary>A v3 resource of any kind.</summary>
public abstract record Resource : ModelObject
{
    /// <summary>The API group and version of every kind here.</summary>
    public const string CurrentApiVersion = "projectcalico.org/v3";

    private protected Resource(ResourceKind kind) => ResourceKind = kind;

    [JsonIgnore]
    public ResourceKind ResourceKind { get; }

    [JsonPropertyOrder(-3)]
    public string Kind => ResourceKind.Kind;

    [JsonPropertyOrder(-2)]
    public virtual string ApiVersion => CurrentApiVersion;

    [JsonPropertyOrder(-1)]
    public ObjectMeta Metadata { get; init => field = value ?? new(); } = new();

    [JsonIgnore]
    public string Name => Metadata.Name ?? "";

    /// <summary>The namespace, or null for a cluster-wide kind.</summary>
    [JsonIgnore]
    public string? Namespace => Metadata.Namespace;

    /// <summary>The identity: kind, namespace and name.</summary>
    [JsonIgnore]
    public ResourceKey Key => new(ResourceKind, Metadata.Namespace, Name);

    public sealed override string ToString() => Key.ToString();
}
