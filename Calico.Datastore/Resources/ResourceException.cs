using Calico.Core.Model.Resources;

namespace Calico.Datastore.Resources;

/// <summary>Why a resource could not be read or written.</summary>
public enum ResourceFault
{
    NotFound,
    AlreadyExists,

    /// <summary>Somebody else wrote the resource since the caller read it.</summary>
    Conflict,

    /// <summary>The rules of the kind forbid the operation whatever the content.</summary>
    NotSupported,
}

/// <summary>A refused operation on a resource; the message is worded as Calico words it.</summary>
public sealed class ResourceException(ResourceFault fault, ResourceKey key, string message) : Exception(message)
{
    public ResourceFault Fault { get; } = fault;
    public ResourceKey Key { get; } = key;

    public static ResourceException NotFound(ResourceKey key) =>
        new(ResourceFault.NotFound, key, $"resource does not exist: {key} with error: <nil>");

    public static ResourceException AlreadyExists(ResourceKey key) =>
        new(ResourceFault.AlreadyExists, key, $"resource already exists: {key} with error: <nil>");

    public static ResourceException Conflict(ResourceKey key) =>
        new(ResourceFault.Conflict, key, $"update conflict: {key}: it has changed since it was read, read it again and repeat the change");

    public static ResourceException NotSupported(ResourceKey key, string operation, string reason) =>
        new(ResourceFault.NotSupported, key, $"operation {operation} is not supported on {key}: {reason}");
}
