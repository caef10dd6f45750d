using Xunit.Abstractions;
using Xunit.Sdk;

namespace Calico.Tests;

/// <summary>
/// The layer a test belongs to, as <c>./test.sh LAYER</c> selects it: unit, actor, cluster, kernel, conformance, aot,
/// kubernetes or lab. Put one on each test class.
/// </summary>
[TraitDiscoverer("Calico.Tests.LayerDiscoverer", "Calico.Tests")]
[AttributeUsage(AttributeTargets.Class)]
public sealed class LayerAttribute(string name) : Attribute, ITraitAttribute
{
    public string Name { get; } = name;
}

/// <summary>Turns a <see cref="LayerAttribute"/> into the trait that the runner filters by.</summary>
public sealed class LayerDiscoverer : ITraitDiscoverer
{
    public IEnumerable<KeyValuePair<string, string>> GetTraits(IAttributeInfo traitAttribute)
    {
        yield return new("Layer", (string)traitAttribute.GetConstructorArguments().Single());
    }
}
