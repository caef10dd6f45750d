using System.Text.Json;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Validation;
using Calico.Core.Net;
using Calico.Core.Policy.Graph;

namespace Calico.Tests.Core.Model.Kubernetes;

[Layer("unit")]
public class FloatingIpTests
{
    [Fact]
    public void A_pod_s_floating_addresses_stand_in_front_of_its_own_from_the_annotation_to_the_rules()
    {
        var endpoint = Convert("""["198.51.100.7","2001:db8::7"]""", "10.65.0.5", "fd00:65::5").Endpoint!;

        Assert.Equal([new IpNat { InternalIP = "10.65.0.5", ExternalIP = "198.51.100.7" }, new IpNat { InternalIP = "fd00:65::5", ExternalIP = "2001:db8::7" }],
            endpoint.Spec.IpNATs.Items.AsEnumerable());
        ResourceValidator.Check(endpoint);
        var stored = (WorkloadEndpoint)StoredResource.Read(endpoint.Key, StoredResource.Write(endpoint), 5);
        Assert.Equal(endpoint.Spec, stored.Spec);
        Assert.Equal([(IpAddr.Parse("198.51.100.7"), IpAddr.Parse("10.65.0.5")), (IpAddr.Parse("2001:db8::7"), IpAddr.Parse("fd00:65::5"))],
            LocalEndpoint.Of(stored).FloatingIps.Select(f => (f.External, f.Internal)));
    }

    [Fact]
    public void A_floating_address_of_a_family_that_the_pod_lacks_is_left_out()
    {
        var endpoint = Convert("""["198.51.100.7","2001:db8::7"]""", "10.65.0.5").Endpoint!;

        Assert.Equal("198.51.100.7", Assert.Single(endpoint.Spec.IpNATs.Items).ExternalIP);
    }

    [Fact]
    public void An_annotation_that_is_no_list_is_told() => Assert.NotNull(Convert("198.51.100.7", "10.65.0.5").Problem);

    private static ConvertedPod Convert(string floating, params string[] addresses)
    {
        using var pod = JsonDocument.Parse(JsonSerializer.Serialize(new
        {
            metadata = new { name = "web", @namespace = "shop", annotations = new Dictionary<string, string> { ["cni.projectcalico.org/floatingIPs"] = floating } },
            spec = new { nodeName = "node1" },
            status = new { podIPs = addresses.Select(a => new { ip = a }) },
        }));
        return PodConversion.Convert(KubeCodec.Decode<KubePod>(pod.RootElement));
    }
}
