using Calico.Core.Cni;

namespace Calico.Tests.Core.Cni;

[Layer("unit")]
public class CniInvocationTests
{
    private static readonly Dictionary<string, string> Add = new()
    {
        ["CNI_COMMAND"] = "ADD",
        ["CNI_CONTAINERID"] = "cid-1",
        ["CNI_NETNS"] = "/run/netns/a",
        ["CNI_IFNAME"] = "eth0",
        ["CNI_PATH"] = "/opt/cni/bin",
        ["CNI_ARGS"] = "IgnoreUnknown=1;K8S_POD_NAME=web-0",
    };

    [Fact]
    public void A_full_environment_is_taken()
    {
        Assert.True(Read(Add, out var call, out _));

        Assert.Equal(new CniInvocation(CniCommand.Add, CniPlugin.Interface)
        {
            ContainerId = "cid-1",
            Netns = "/run/netns/a",
            InterfaceName = "eth0",
            Args = "IgnoreUnknown=1;K8S_POD_NAME=web-0",
            Path = "/opt/cni/bin",
        }, call);
    }

    [Theory]
    [InlineData("/opt/cni/bin/calico-ipam", CniPlugin.Ipam)]
    [InlineData("calico-ipam", CniPlugin.Ipam)]
    [InlineData("/opt/cni/bin/calico", CniPlugin.Interface)]
    [InlineData("/srv/calico-ipam/calico", CniPlugin.Interface)]
    public void The_program_s_name_says_which_plugin_it_is(string program, CniPlugin plugin)
    {
        Assert.True(CniInvocation.TryRead(Add.GetValueOrDefault, program, out var call, out _));

        Assert.Equal(plugin, call!.Plugin);
    }

    [Theory]
    [InlineData("ADD", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH")]
    [InlineData("CHECK", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH")]
    [InlineData("DEL", "CNI_CONTAINERID,CNI_IFNAME,CNI_PATH")]
    [InlineData("", "CNI_COMMAND")]
    public void What_a_command_lacks_is_listed_in_one_error(string command, string missing)
    {
        Assert.False(Read(new() { ["CNI_COMMAND"] = command }, out _, out var error));

        Assert.Equal(CniErrorCode.InvalidEnvironment, error!.Code);
        Assert.Equal($"required env variables [{missing}] missing", error.Message);
    }

    [Theory]
    [InlineData("VERSION")]
    [InlineData("STATUS")]
    [InlineData("GC")]
    public void Commands_about_the_plugin_need_no_container(string command) =>
        Assert.True(Read(new() { ["CNI_COMMAND"] = command }, out _, out _));

    [Theory]
    [InlineData("CNI_COMMAND", "add")]
    [InlineData("CNI_COMMAND", "UPDATE")]
    [InlineData("CNI_CONTAINERID", "-abc")]
    [InlineData("CNI_CONTAINERID", "a b")]
    [InlineData("CNI_CONTAINERID", "a/b")]
    [InlineData("CNI_CONTAINERID", "\u00e4")]
    [InlineData("CNI_IFNAME", "aaaaaaaaaaaaaaaa")]
    [InlineData("CNI_IFNAME", "..")]
    [InlineData("CNI_IFNAME", ".")]
    [InlineData("CNI_IFNAME", "a/b")]
    [InlineData("CNI_IFNAME", "a:b")]
    [InlineData("CNI_IFNAME", "a b")]
    [InlineData("CNI_ARGS", "K8S_POD_NAME")]
    [InlineData("CNI_ARGS", "=x")]
    [InlineData("CNI_ARGS", "a=b=c")]
    [InlineData("CNI_ARGS", "a=b;")]
    public void A_value_of_the_wrong_form_is_refused_and_named(string variable, string value)
    {
        Assert.False(Read(new(Add) { [variable] = value }, out _, out var error));

        Assert.Equal(CniErrorCode.InvalidEnvironment, error!.Code);
        Assert.Contains(variable, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("1", true)]
    [InlineData("true", true)]
    [InlineData("TRUE", true)]
    [InlineData("0", false)]
    public void The_namespace_check_can_be_overridden(string value, bool overridden)
    {
        Read(new(Add) { ["CNI_NETNS_OVERRIDE"] = value }, out var call, out _);

        Assert.Equal(overridden, call!.NetnsOverride);
    }

    [Fact]
    public void Arguments_are_read_by_key_and_an_empty_value_is_none()
    {
        Assert.True(CniArgs.TryParse("K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=;IP=10.0.0.1", out var args, out _));

        Assert.True(args.IsKubernetes);
        Assert.Equal(("web-0", "default", "10.0.0.1"), (args.PodName, args.PodNamespace, args.Ip));
    }

    [Fact]
    public void Without_both_names_it_is_no_kubernetes_pod()
    {
        Assert.True(CniArgs.TryParse("K8S_POD_NAME=web-0", out var args, out _));

        Assert.False(args.IsKubernetes);
    }

    private static bool Read(Dictionary<string, string> environment, out CniInvocation? call, out CniError? error) =>
        CniInvocation.TryRead(environment.GetValueOrDefault, "calico", out call, out error);
}
