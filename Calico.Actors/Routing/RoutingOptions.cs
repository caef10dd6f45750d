namespace Calico.Actors.Routing;

/// <summary>What decides about the node's BGP beside the resources.</summary>
public sealed record RoutingOptions
{
    /// <summary>A dotted quad, or <c>hash</c>; null: the node's IPv4 address. CALICO_ROUTER_ID.</summary>
    public string? RouterId { get; init; }

    /// <summary>Where the Secrets with passwords are, one directory each. CALICO_BGP_SECRETS_DIR; null: nowhere.</summary>
    public string? SecretsDirectory { get; init; }

    /// <summary>How often passwords are looked at.</summary>
    public TimeSpan SecretsEvery { get; init; } = TimeSpan.FromSeconds(10);
}
